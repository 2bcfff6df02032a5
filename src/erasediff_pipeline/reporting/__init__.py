"""Pages, figures and terminal tables."""
