"""Experiments: many trainings on one request, kept one by one and compared."""
