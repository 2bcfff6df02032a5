"""Audits: is what was forgotten really gone, and has the rest suffered?"""
