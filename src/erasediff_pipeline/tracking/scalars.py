"""Curves, as they arise."""

from functools import partial

import mlflow

from erasediff_pipeline.tracking.hooks import send


def log_scalars(step: int, scalars: dict[str, float]) -> None:
    """Log one point of each curve to the active MLflow run, if there is one."""
    if mlflow.active_run() is not None:
        send("points of the curves", partial(mlflow.log_metrics, scalars, step=step))
