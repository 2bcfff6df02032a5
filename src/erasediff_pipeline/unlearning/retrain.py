"""Retraining, the gold standard: a model that never saw the forget set.

    min over θ of L_r(θ) = E‖ε − ε_θ(x_t, t, c)‖²,   (x0, c) from the retain set, θ from random weights.

What the forgotten condition then draws is whatever its untrained embedding happens to mean.
"""

from torch import Generator

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.seeding import derive_seed
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore


class Retrain(Denoising):
    """Denoising of the retain set from scratch; see the module's docstring."""

    name, parameters = "retrain", "pretrain"  # trained as the base model is, else it is no gold standard
    settings_class = PretrainSettings

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Random weights in place of the base model's."""
        model.forget_everything(derive_seed(seed, self.name, "weights"))

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        """Earlier requests have taken nothing out of random weights, so nothing is held there."""
        retain_batch = retain_batch._replace(forgotten_before=None)
        return super().gradients(model, forget_batch, retain_batch, generator)
