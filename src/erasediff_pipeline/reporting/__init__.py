"""What a person looks at, and where it comes from."""
