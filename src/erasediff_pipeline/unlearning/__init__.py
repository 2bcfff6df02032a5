"""One file a method, and the registry."""
