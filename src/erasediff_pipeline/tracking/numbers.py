"""Flat settings and metrics for MLflow."""

from typing import Any

MlflowMetrics = dict[str, dict[str, float]]


def flatten(nested: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries: every value under its dotted name."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def numbers_of(metrics: dict[str, Any]) -> MlflowMetrics:
    """Select every number of nested metrics, in the form of kedro-mlflow; text and None are omitted."""
    return {
        name: {"value": float(value), "step": 0}
        for name, value in flatten(metrics).items()
        if isinstance(value, int | float)
    }
