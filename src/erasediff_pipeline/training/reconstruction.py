"""Reconstruction: the training objective of an autoencoder."""

from torch import Generator

from erasediff_pipeline.config import AutoencoderSettings
from erasediff_pipeline.diffusion.autoencoder import Autoencoder, reconstruction_loss
from erasediff_pipeline.training.gradients import backward
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore


class Reconstruction:
    """L = E‖x − D(z)‖² + w·KL(q(z|x) ‖ N(0, 1)), see ``reconstruction_loss``."""

    name = "autoencoder"
    subset = "full"

    def __init__(self, settings: AutoencoderSettings):
        self.settings = settings

    def prepare(self, model: Autoencoder, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Nothing to prepare."""

    def gradients(
        self, model: Autoencoder, forget_batch: Batch | None, retain_batch: Batch, generator: Generator
    ) -> dict[str, float]:
        loss = reconstruction_loss(model, retain_batch.x0, self.settings.kl_weight, generator)
        backward(model, loss)
        return {"loss": loss.item()}
