"""One folder a pipeline: thin nodes, and how they are wired."""
