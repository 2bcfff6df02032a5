"""Audits: is the forgotten data really gone, and are the retained classes damaged?"""
