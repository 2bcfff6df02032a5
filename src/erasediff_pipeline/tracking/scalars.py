"""Curves, as they arise."""

import mlflow


def log_scalars(step: int, scalars: dict[str, float]) -> None:
    """Log one point of each curve to the active MLflow run, if there is one."""
    if mlflow.active_run() is not None:
        mlflow.log_metrics(scalars, step=step)
