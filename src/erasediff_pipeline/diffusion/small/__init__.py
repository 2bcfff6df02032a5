"""Small models to train here, built from settings."""
