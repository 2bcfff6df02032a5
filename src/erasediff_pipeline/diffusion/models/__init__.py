"""One file for each family of models, and the registry."""
