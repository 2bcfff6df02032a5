"""What the tests share: toys, clones of the project, servers, and values worked out by hand."""
