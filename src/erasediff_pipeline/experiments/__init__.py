"""Experiments: many trainings on one request, stored one by one and compared."""
