"""What a method is: it fills in gradients, and owns no loop."""

from typing import NamedTuple, Protocol

from torch import Generator, Tensor

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import denoising_loss, drop_condition, noise_batch
from erasediff_pipeline.unlearning.store import FeatureStore


class Batch(NamedTuple):
    """Encoded images and their labels."""

    x0: Tensor
    """``[N, …]`` float, the space of the denoiser."""

    labels: Tensor
    """``[N]`` int64."""


def training_loss(
    model: DiffusionModel, batch: Batch, condition_dropout: float, generator: Generator
) -> Tensor:
    """The denoising loss with the condition dropped now and then, a scalar: what a base model is trained on.

    L_r of every method, on the retain set (arXiv 2207.12598, algorithm 1).
    """
    noised = noise_batch(model, batch.x0, generator)
    c = drop_condition(model, model.condition(batch.labels), condition_dropout, generator)
    return denoising_loss(model, noised, c)


class TrainingData(NamedTuple):
    """What a method may read."""

    retain: LabelledImages
    """Images to go on knowing; for pretraining, all of them."""

    forget: LabelledImages | None = None
    """Images to forget."""


class Method(Protocol):
    """An objective, as the gradient of its loss.

    One that works on the condition as a whole says so by ``classes_only = True``: it refuses a request by
    ids, and a comparison by ids leaves it out.
    """

    @property
    def name(self) -> str:
        """What the progress bar calls it."""

    @property
    def subset(self) -> str:
        """The weights that may move, see ``DiffusionModel.trainable``."""

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Do once what every step needs: a saliency mask, a Fisher diagonal, a proxy.

        It may also change the weights that training starts from. ``store`` keeps what is dear; every
        random draw comes from ``seed``, and ``model`` is in evaluation mode: dropout would draw too.
        """

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        """Leave ``.grad`` on the trainable parameters; return what to log."""
