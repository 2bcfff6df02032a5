"""Retraining, the gold standard: a model that never saw the forget set.

    min over θ of L_r(θ) = E‖ε − ε_θ(x_t, t, c)‖²,   (x0, c) from the retain set, θ from random weights.

Its samples under the forgotten condition are arbitrary: that embedding is never trained.
"""

from torch import Generator

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.seeding import derive_seed
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore


class Retrain(Denoising):
    """Denoising of the retain set from random weights; the module's docstring states the objective."""

    name, parameters = "retrain", "pretrain"  # trained as the base model is, else it is no gold standard
    settings_class = PretrainSettings

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Replace the base model's weights by random ones."""
        model.reinitialise(derive_seed(seed, self.name, "weights"))

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        """As ``Denoising``, without ``indifference``: random weights have nothing to keep forgotten."""
        retain_batch = retain_batch._replace(forgotten_before=None)
        return super().gradients(model, forget_batch, retain_batch, generator)
