"""Metrics in the form that kedro-mlflow logs."""

from typing import Any

import pandas as pd

MlflowMetrics = dict[str, dict[str, float]]


def numbers_of(metrics: dict[str, Any]) -> MlflowMetrics:
    """Every number of nested metrics, under its dotted name; text and what was not measured is left out."""
    flat = pd.json_normalize(metrics, sep=".").iloc[0].to_dict()
    return {str(k): {"value": float(v), "step": 0} for k, v in flat.items() if isinstance(v, int | float)}
