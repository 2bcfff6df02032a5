"""One training loop, and one file a method."""
