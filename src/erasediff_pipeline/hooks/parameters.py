"""Parameters for MLflow."""

from typing import Any

from kedro.framework.hooks import hook_impl
from pydantic import BaseModel


class FlattenParameters:
    """Give kedro-mlflow plain values, so that ``unlearn.steps`` is a column of its own in the UI."""

    @hook_impl(tryfirst=True)
    def before_node_run(self, inputs: dict[str, Any]) -> None:
        """``inputs`` is the hooks' own copy: the node still gets the typed settings."""
        inputs.pop("parameters", None)
        for name, value in inputs.items():
            if isinstance(value, BaseModel):
                inputs[name] = value.model_dump()
