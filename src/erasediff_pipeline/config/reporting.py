"""What is shown and kept of a run."""

import re

from pydantic import Field, field_validator

from erasediff_pipeline.config.base import Settings


class ReportSettings(Settings):
    """What a person is shown."""

    grid_columns: int = Field(8, ge=1)
    """Images of each class in the before/after grid."""

    hide_forgotten: bool = False
    """Leave every image of a forgotten class out of grid and report, those drawn after unlearning, too."""


class TrackingSettings(Settings):
    """What MLflow keeps beyond parameters, curves and metrics."""

    registered_model: str | None = "erasediff-{method}"
    """Name of the erased model in the registry; ``{method}`` is filled in; null registers nothing."""

    @field_validator("registered_model")
    @classmethod
    def _only_method(cls, value: str | None) -> str | None:
        if value is not None and re.search(r"[{}/:]", value.replace("{method}", "")):
            raise ValueError("allowed are a plain name, without / and :, and the placeholder {method}")
        return value
