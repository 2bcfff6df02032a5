"""One file for each method, and the registry."""
