"""What was forgotten, and what was kept."""
