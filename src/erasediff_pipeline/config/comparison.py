"""What is compared."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from erasediff_pipeline.config.base import Settings, as_list


class CompareSettings(Settings):
    """Every method on one request."""

    methods: Annotated[list[str] | None, BeforeValidator(as_list)] = Field(None, min_length=1)
    """Which methods; null is all of them. Distances need ``retrain`` among them."""

    seeds: int = Field(1, ge=1)
    """How many seeds each method is trained with: ``seed``, ``seed + 1``, …"""

    confidence: float = Field(0.95, gt=0, lt=1)
    """Level of the intervals over seeds; a single seed has none."""
