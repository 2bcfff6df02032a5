"""A regular package: a library in the environment installs one of the same name."""
