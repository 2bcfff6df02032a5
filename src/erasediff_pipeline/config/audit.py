"""Audits: is it really gone?"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from erasediff_pipeline.config.base import ModelFolder, Settings, as_list
from erasediff_pipeline.config.training import TrainingSettings


class RelearningSettings(TrainingSettings):
    """How the erased model is taught again."""

    steps: int = Field(64, ge=1)
    """Optimiser steps at most; measured after 1, 2, 4, … of them."""

    images: int = Field(64, ge=1)
    """Images that it is taught with, at most: the first of the forget set, or of the retain set."""

    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(2e-4, gt=0)
    ema_decay: float = Field(0.0, ge=0, le=0)
    """Only 0: what is measured is the model after each step."""

    log_every: int = Field(1, ge=1, le=1)


class InversionSettings(TrainingSettings):
    """How an embedding is searched for that brings the class back."""

    steps: int = Field(200, ge=1)
    """Optimiser steps a restart."""

    restarts: int = Field(3, ge=1)
    """Random embeddings to start from; the class's own comes on top."""

    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(0.1, gt=0)
    ema_decay: float = Field(0.0, ge=0, le=0)
    condition_dropout: float = Field(0.0, ge=0, le=0)
    """Only 0: it is the embedding that is searched for."""

    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    log_every: int = Field(10, ge=1)


class AuditSettings(Settings):
    """What an erased model is put through, and beside it the base model and the retrained one."""

    model: ModelFolder = "erasediff"
    """The erased model, a folder below ``data/06_models``; it has answered the request in ``forget``."""

    retrained: bool = True
    """Whether the model retrained without the data is audited, too: without it there is nothing to
    compare with. It is trained once, as in ``compare``, and kept."""

    methods: Annotated[list[str], BeforeValidator(as_list)] = Field(default_factory=list)
    """Methods whose models are audited, too, trained as in ``compare`` and kept; ``all`` is every one."""

    samples: int = Field(100, ge=10)
    """Images drawn for each figure of relearning, inversion and leakage."""

    bootstrap: int = Field(1000, ge=100)
    """Draws of the membership interval."""

    confidence: float = Field(0.95, gt=0, lt=1)
    """Level of the intervals."""

    relearning: RelearningSettings = RelearningSettings()
    inversion: InversionSettings = InversionSettings()
