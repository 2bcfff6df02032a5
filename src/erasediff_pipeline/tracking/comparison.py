"""A comparison in MLflow."""

from typing import Any

import mlflow
import pandas as pd

from erasediff_pipeline.config.deciding import as_plain
from erasediff_pipeline.unlearning.registry import METHODS


def log_methods(
    summary: pd.DataFrame, parameters: dict[str, Any], curves: dict[str, pd.DataFrame | None]
) -> None:
    """Log one run a method below the active run, with the same columns; without an active run nothing.

    Args:
        summary: A row a method, means over the seeds.
        parameters: All parameters.
        curves: Of the first seed, by method; None of the base model.
    """
    if mlflow.active_run() is None:
        return
    for method, curve in curves.items():
        numbers = summary[summary["method"] == method].drop(columns="method").iloc[0].dropna()
        with mlflow.start_run(run_name=method, nested=True):
            mlflow.set_tag("method", method)
            mlflow.log_metrics({str(key): float(value) for key, value in numbers.items()})
            if method in METHODS:
                settings = as_plain(parameters)[METHODS[method].parameters]
                mlflow.log_params({"method": method, **settings})
            for point in [] if curve is None else curve.to_dict("records"):
                scalars = {str(key): float(value) for key, value in point.items()}
                step = int(scalars.pop("step"))
                mlflow.log_metrics(scalars, step=step)
