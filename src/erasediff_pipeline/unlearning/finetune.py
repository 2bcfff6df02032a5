"""Fine-tuning, the usual baseline: train on the retain set only.

    min over θ of L_r(θ) = E‖ε − ε_θ(x_t, t, c)‖²,   (x0, c) from the retain set, θ from the base model.

The forgotten condition gets no gradient of its own. This is "finetune" in arXiv 2401.05779, table 1.
"""

from erasediff_pipeline.config import MethodSettings
from erasediff_pipeline.training.denoising import Denoising


class FinetuneSettings(MethodSettings):
    """Settings of fine-tuning on the retain set."""


class Finetune(Denoising):
    """Denoising of the retain set; the module's docstring states the objective."""

    name = "finetune"
    settings_class = FinetuneSettings

    def __init__(self, settings: FinetuneSettings):
        super().__init__(settings)
        self.subset = settings.subset
