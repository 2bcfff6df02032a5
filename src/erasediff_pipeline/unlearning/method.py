"""What a method is: it fills in gradients, and owns no loop."""

from typing import NamedTuple, Protocol

from torch import Generator, Tensor

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel


class Batch(NamedTuple):
    """Encoded images and their labels."""

    x0: Tensor
    """``[N, …]`` float, the space of the denoiser."""

    labels: Tensor
    """``[N]`` int64."""


class TrainingData(NamedTuple):
    """What a method may read."""

    retain: LabelledImages
    """Images to go on knowing; for pretraining, all of them."""

    forget: LabelledImages | None = None
    """Images to forget."""


class Method(Protocol):
    """An objective, as the gradient of its loss."""

    @property
    def name(self) -> str:
        """What the progress bar calls it."""

    @property
    def subset(self) -> str:
        """The weights that may move, see ``DiffusionModel.trainable``."""

    def prepare(self, model: DiffusionModel, data: TrainingData) -> None:
        """Compute once what every step needs (a saliency mask, a Fisher diagonal)."""

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        """Leave ``.grad`` on the trainable parameters; return what to log."""
