"""One folder per pipeline: thin nodes, and their connections."""
