"""What all methods share; a method's own settings are in its file, ``unlearning/<method>.py``."""

from typing import Literal

from pydantic import Field

from erasediff_pipeline.config.training import TrainingSettings

Subset = Literal[
    "full",
    "selfattn",
    "notime",
    "noselfattn",
    "class_embedding",
    "xattn",
    "noxattn",
    "xlayer",
    "selflayer",
    "attn",
    "context",
]


class MethodSettings(TrainingSettings):
    """Settings that all methods share, with the same defaults: the same number of steps for each."""

    steps: int = Field(500, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(2e-4, gt=0)
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    ema_decay: float = Field(0.97, ge=0, lt=1)
    log_every: int = Field(1, ge=1)

    subset: Subset = "full"
    """Weights that may move: one of the ``subsets`` of the model's family, see ``diffusion.models``."""
