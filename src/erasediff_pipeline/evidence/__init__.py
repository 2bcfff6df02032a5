"""Documents about a run: gates, figures, model card, signatures, leftovers."""
