"""A comparison in MLflow: a run for each method, below the run of the comparison."""

import time
from functools import partial
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import Metric

from erasediff_pipeline.config.deciding import as_plain
from erasediff_pipeline.tracking.numbers import flatten
from erasediff_pipeline.tracking.outbox import Outbox
from erasediff_pipeline.unlearning.registry import METHODS


def log_methods(
    summary: pd.DataFrame,
    parameters: dict[str, Any],
    curves: dict[str, pd.DataFrame | None],
    outbox: Outbox,
) -> None:
    """Log each method as a run below the active run; without an active run, log nothing.

    Args:
        summary: A row for each method: means over the seeds.
        parameters: All parameters.
        curves: Curves of the first seed, by method; None for the base model.
        outbox: Sends to MLflow, now or when its server is back.
    """
    if mlflow.active_run() is None:
        return
    plain = as_plain(parameters)
    for method, curve in curves.items():
        row = summary[summary["method"] == method].drop(columns="method").iloc[0].dropna()
        numbers = {str(key): float(value) for key, value in row.items()}
        settings = {"method": method, **plain[METHODS[method].parameters]} if method in METHODS else {}
        points = [] if curve is None else curve.to_dict("records")
        outbox.send(f"the run of {method}", partial(_log_method, method, numbers, flatten(settings), points))


def _log_method(
    method: str, numbers: dict[str, float], settings: dict[str, Any], points: list[dict[Any, Any]]
) -> None:
    now = int(1000 * time.time())
    metrics = [
        Metric(str(key), float(value), now, int(point["step"]))
        for point in points
        for key, value in point.items()
        if key != "step"
    ]
    with mlflow.start_run(run_name=method, nested=True) as run:
        mlflow.set_tag("method", method)
        mlflow.log_metrics(numbers)
        mlflow.log_params(settings)
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics)
