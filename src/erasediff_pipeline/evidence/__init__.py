"""What is shown of a run: gates, the report's figures, model card, signatures, what is left over."""
