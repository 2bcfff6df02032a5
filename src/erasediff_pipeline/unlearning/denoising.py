"""Plain denoising: the objective of pretraining."""

from torch import Generator

from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import denoising_loss, drop_condition, noise_batch
from erasediff_pipeline.unlearning.method import Batch, TrainingData


class Denoising:
    """L = E‖ε − ε_θ(x_t, t, c)‖², with c dropped now and then (arXiv 2006.11239 and 2207.12598)."""

    name = "pretrain"
    subset = "full"

    def __init__(self, condition_dropout: float):
        self.condition_dropout = condition_dropout

    def prepare(self, model: DiffusionModel, data: TrainingData) -> None:
        """Nothing to prepare."""

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        noised = noise_batch(model, retain_batch.x0, generator)
        c = model.condition(retain_batch.labels)
        c = drop_condition(model, c, self.condition_dropout, generator)
        loss = denoising_loss(model, noised, c)
        loss.backward()
        return {"loss": loss.item()}
