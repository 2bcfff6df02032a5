"""The protocol of a method: it computes gradients, and the loop does the rest."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Generator, Tensor

from erasediff_pipeline.config import TrainingSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import Trainable
from erasediff_pipeline.training.store import FeatureStore


class Batch(NamedTuple):
    """Encoded images and their conditions."""

    x0: Tensor
    """``[N, …]`` float, in the space of the denoiser."""

    labels: Tensor
    """``[N]`` int64, the number of each image's condition: a class, or a prompt."""

    forgotten_before: Tensor | None = None
    """``[N]`` int64, for each image a condition that an earlier request has removed, if there are any."""

    def part(self, index: int, parts: int) -> "Batch":
        """Part ``index``, from 0, of ``parts`` equal parts."""
        size = len(self.x0) // parts
        rows = slice(index * size, (index + 1) * size)
        before = None if self.forgotten_before is None else self.forgotten_before[rows]
        return Batch(self.x0[rows], self.labels[rows], before)


class TrainingData(NamedTuple):
    """The data that a method may read."""

    retain: LabelledImages
    """Images to keep; for pretraining, all of them."""

    forget: LabelledImages | None = None
    """Images to forget."""

    forgotten_before: Sequence[int] = ()
    """Conditions that earlier requests have removed from the model; their images are in neither set."""

    anchor: int | None = None
    """The condition that the forgotten ones should become, if the request names one."""

    unseen: LabelledImages | None = None
    """Images that no model was trained on, if the request keeps the classes of the forgotten ones."""


Scalars = dict[str, float]
M = TypeVar("M", bound=Trainable)
M_contra = TypeVar("M_contra", bound=Trainable, contravariant=True)


class Method(Protocol[M_contra]):
    """An objective, as the gradient of its loss.

    A class may set the flags of ``unlearning.registry.Entry``.
    """

    @property
    def name(self) -> str:
        """Title of the progress bar, and name of the method's random streams."""

    @property
    def subset(self) -> str:
        """The weights to train, see ``Trainable.trainable``."""

    def prepare(self, model: M_contra, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Compute once what the steps need: a saliency mask, a Fisher diagonal, a proxy.

        Precision of the forward pass and batches in parts are up to the method, see ``autocast`` and
        ``in_parts``.

        Args:
            model: In evaluation mode, since dropout would draw random numbers. Its weights may be changed:
                training starts from them. It computes activations twice if the settings say so.
            data: The retain and the forget set.
            store: Keeps expensive results.
            seed: Seed of every random draw.
        """

    def gradients(
        self,
        model: M_contra,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        """Leave ``.grad`` on the parameters of ``subset``; return what to log.

        Args:
            model: In training mode.
            forget_batch: None if there is no forget set.
            retain_batch: A batch of the retain set.
            generator: On the CPU; the source of every random draw but dropout.
        """


class ClosedForm(Protocol[M_contra]):
    """A method without steps."""

    def edit(self, model: M_contra, data: TrainingData) -> dict[str, float]:
        """Change the weights in place; return what to log.

        Args:
            model: In evaluation mode.
            data: The retain and the forget set.
        """


def autocast(model: Trainable, settings: TrainingSettings) -> torch.autocast:
    """The precision of a forward pass in ``Method.prepare``; in ``gradients`` the loop sets it.

    Enter it again whenever weights have changed: it caches their 16-bit copies.
    """
    return torch.autocast(model.device.type, torch.bfloat16, enabled=settings.mixed_precision == "bf16")
