"""What goes to MLflow."""
