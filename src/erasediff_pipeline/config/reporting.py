"""Reports and tracking."""

import re

from pydantic import Field, field_validator

from erasediff_pipeline.config.base import Settings


class ReportSettings(Settings):
    """What a report shows."""

    grid_columns: int = Field(8, ge=1)
    """Images for each class in the before/after grid."""

    hide_forgotten: bool = False
    """Leave images of forgotten classes out of grid and report, also those drawn after unlearning."""


class TrackingSettings(Settings):
    """What MLflow keeps besides parameters, curves and metrics."""

    registered_model: str | None = "erasediff-{method}"
    """Name of the erased model in MLflow's registry; ``{method}`` is replaced; null registers nothing."""

    @field_validator("registered_model")
    @classmethod
    def _only_method(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("empty: use a name, or null to register nothing")
        if value is not None and re.search(r"[{}/:]", value.replace("{method}", "")):
            raise ValueError("use a name without / and :, and no placeholder but {method}")
        return value
