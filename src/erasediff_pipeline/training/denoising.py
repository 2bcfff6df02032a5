"""Plain denoising: the objective of pretraining, fine-tuning and retraining."""

from torch import Generator

from erasediff_pipeline.config import TrainingSettings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.training.gradients import backward
from erasediff_pipeline.training.losses import training_loss
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore


class Denoising:
    """L = E‖ε − ε_θ(x_t, t, c)‖², with c dropped at random (arXiv 2006.11239 and 2207.12598)."""

    name = "pretrain"
    subset = "full"

    def __init__(self, settings: TrainingSettings):
        self.settings = settings

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Nothing to prepare."""

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        loss = training_loss(model, retain_batch, self.settings.condition_dropout, generator)
        backward(model, loss)
        return {"loss": loss.item()}
