"""Audits: what the weights of an erased model still hold."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from erasediff_pipeline.config.base import ModelFolder, Settings, as_names
from erasediff_pipeline.config.training import TrainingSettings


class RelearningSettings(TrainingSettings):
    """Relearning: how fast the erased model learns the forgotten data again."""

    steps: int = Field(32, ge=1)
    """Optimiser steps; the model is measured after each."""

    samples: int = Field(25, ge=1)
    """Images of each forgotten class to draw at each measurement. A figure is the mean of all of them."""

    images: int = Field(64, ge=1)
    """Largest number of training images: the first ones of the forget set, or of the retain set."""

    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(2e-4, gt=0)
    ema_decay: float = Field(0.0, ge=0, le=0)
    """Only 0: the model is measured after each step, without averaging."""

    log_every: int = Field(1, ge=1, le=1)


class InversionSettings(TrainingSettings):
    """Inversion: search for an embedding that makes the erased model draw the class again."""

    steps: int = Field(200, ge=1)
    """Optimiser steps of each start. The best start runs again with twice as many, as a control."""

    restarts: int = Field(3, ge=1)
    """Random embeddings to start from, in addition to the embedding of the class."""

    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(0.1, gt=0)
    ema_decay: float = Field(0.0, ge=0, le=0)
    condition_dropout: float = Field(0.0, ge=0, le=0)
    """Only 0: without the condition there is no embedding to search for."""

    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    log_every: int = Field(10, ge=1)


class AuditSettings(Settings):
    """The audit of an erased model, of the base model and of the retrained model."""

    model: ModelFolder = "erasediff"
    """The erased model, a folder of ``data/06_models``; made for the request in ``forget``."""

    retrained: bool = True
    """Audit the retrained model, too: it is the reference. It is trained once, as in ``compare``, and
    kept."""

    methods: Annotated[list[str], BeforeValidator(as_names)] = Field(default_factory=list)
    """Other methods to audit; ``all`` is every method. They are trained as in ``compare``, and kept."""

    samples: int = Field(100, ge=10)
    """Images to draw for each measurement of inversion, leakage and damage."""

    bootstrap: int = Field(1000, ge=100)
    """Bootstrap resamples for the intervals of the membership AUC and of its distance."""

    confidence: float = Field(0.95, gt=0, lt=1)
    """Confidence level of the intervals."""

    relearning: RelearningSettings = RelearningSettings()
    inversion: InversionSettings = InversionSettings()
