"""NegGrad: undo the training on the forget set by ascending its loss.

    min over θ of β·L_r(θ) − (1 − β)·L_f(θ)

L_f and L_r are the denoising losses of the forget set and of the retain set, each image under its own
label. β = 0 is NegGrad (arXiv 1911.04933, section 5), β > 0 NegGrad+ (arXiv 2302.09880, section 4).
−L_f has no lower bound: the result depends on how soon training stops.
"""

from pydantic import Field
from torch import Generator

from erasediff_pipeline.config import MethodSettings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import denoising_loss, noise_batch
from erasediff_pipeline.training.gradients import backward
from erasediff_pipeline.training.losses import training_loss
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore


class NegGradSettings(MethodSettings):
    """Settings of ascent on the forget loss."""

    retain_weight: float = Field(0.9, ge=0, lt=1)
    """β in β·L_r − (1 − β)·L_f; 0 is NegGrad, more is NegGrad+ (arXiv 2302.09880, section 4)."""


class NegGrad:
    """Ascent on the forget loss, descent on the retain loss; the module's docstring states the objective."""

    name = "neggrad"
    settings_class = NegGradSettings

    def __init__(self, settings: NegGradSettings):
        self.settings = settings
        self.subset = settings.subset

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Nothing to prepare."""

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        assert forget_batch is not None
        settings, beta = self.settings, self.settings.retain_weight
        scalars = {}
        if beta:
            retain_loss = training_loss(model, retain_batch, settings.condition_dropout, generator)
            backward(model, beta * retain_loss)
            scalars["retain_loss"] = retain_loss.item()
        forget = noise_batch(model, forget_batch.x0, generator)
        forget_loss = denoising_loss(model, forget, model.condition(forget_batch.labels))
        backward(model, -(1 - beta) * forget_loss)
        return {**scalars, "forget_loss": forget_loss.item()}
