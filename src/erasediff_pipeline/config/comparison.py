"""The comparison of methods."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from erasediff_pipeline.config.base import Settings, as_names


class CompareSettings(Settings):
    """Compare methods on one request."""

    methods: Annotated[list[str] | None, BeforeValidator(as_names)] = Field(None, min_length=1)
    """Methods to compare; null is every method. The distance to the retrained models needs ``retrain``."""

    seeds: int = Field(1, ge=1)
    """Seeds for each method: ``seed``, ``seed + 1``, …"""

    retrained_seeds: int = Field(1, ge=1)
    """Seeds of ``retrain``, if more than ``seeds``. The distance to the retrained models needs three; each of
    them is trained from scratch, so the default is one."""

    confidence: float = Field(0.95, gt=0, lt=1)
    """Confidence level of the intervals over seeds; one seed has no interval."""
