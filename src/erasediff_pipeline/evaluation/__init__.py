"""Metrics of a model: forgetting, and quality of the retained."""
