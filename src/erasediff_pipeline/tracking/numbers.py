"""Nested settings and metrics in the form that MLflow takes: flat."""

from typing import Any

MlflowMetrics = dict[str, dict[str, float]]


def flatten(nested: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Every value of nested dictionaries, under its dotted name."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def numbers_of(metrics: dict[str, Any]) -> MlflowMetrics:
    """Every number of nested metrics, as kedro-mlflow logs it; without text and what was not measured."""
    return {
        name: {"value": float(value), "step": 0}
        for name, value in flatten(metrics).items()
        if isinstance(value, int | float)
    }
