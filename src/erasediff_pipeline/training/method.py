"""The protocol of a method, which computes gradients, and the losses that methods share."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Generator, Tensor

from erasediff_pipeline.config import TrainingSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel, Trainable
from erasediff_pipeline.diffusion.objective import (
    Noised,
    denoising_loss,
    drop_condition,
    noise_batch,
)
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


Scalars = dict[str, float]
M = TypeVar("M", bound=Trainable)
M_contra = TypeVar("M_contra", bound=Trainable, contravariant=True)


class Method(Protocol[M_contra]):
    """An objective, as the gradient of its loss.

    A class may set flags. ``classes_only = True``: the method works on a condition as a whole; it refuses a
    request by ids, and a comparison by ids leaves it out. ``prompts_only = True``: it needs a text-to-image
    model. ``closed_form = True``: it has only ``edit(model, data) -> dict[str, float]``, which changes the
    weights at once and returns what to log.
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


def autocast(model: Trainable, settings: TrainingSettings) -> torch.autocast:
    """The precision of a forward pass in ``Method.prepare``; in ``gradients`` the loop sets it.

    Enter it again whenever weights have changed: it caches their 16-bit copies.
    """
    return torch.autocast(model.device.type, torch.bfloat16, enabled=settings.mixed_precision == "bf16")


def training_loss(
    model: DiffusionModel,
    batch: Batch,
    condition_dropout: float,
    generator: Generator,
    teacher: DiffusionModel | None = None,
) -> Tensor:
    """The denoising loss with conditions dropped at random (arXiv 2207.12598, algorithm 1).

    It trains base models, and is L_r of every method on the retain set. If earlier requests have removed
    conditions, it also keeps them forgotten, see ``indifference``.

    Args:
        model: The model under training.
        batch: Images and conditions.
        condition_dropout: Probability of the null condition, in [0, 1].
        generator: On the CPU.
        teacher: If given, its predictions are the target, see ``teach``.

    Returns:
        A scalar.
    """
    noised = noise_batch(model, batch.x0, generator)
    c = model.condition(batch.labels)
    if teacher is not None:
        noised = teach(teacher, noised, batch.labels)
    loss = denoising_loss(model, noised, drop_condition(model, c, condition_dropout, generator))
    if batch.forgotten_before is None:
        return loss
    return loss + indifference(model, batch.x0, model.condition(batch.forgotten_before), generator)


@torch.no_grad()
def teach(teacher: DiffusionModel, noised: Noised, labels: Tensor) -> Noised:
    """Replace the target by the teacher's predictions under ``labels`` (arXiv 1606.09282, section 3).

    This also applies to dropped conditions, because the teacher's null condition still draws the forgotten
    data. The mean of these targets over the retained images that x_t may come from,

        E[ε_T(x_t, y) | x_t] = Σ_y p(y | x_t, retained) ε_T(x_t, y),

    is what an exact model of the retain set predicts without a condition, if the teacher is exact and all
    images of a retained condition are retained; the noise has the same mean and a larger variance. If single
    images of a class are forgotten, the teacher's prediction under that class still contains them.

    Args:
        teacher: A frozen copy of the base model.
        noised: A batch of N.
        labels: Numbers of the conditions, ``[N]`` int64.
    """
    return noised._replace(target=teacher.denoise(noised.x_t, noised.t, teacher.condition(labels)).float())


def indifference(model: DiffusionModel, x0: Tensor, c: Tensor, generator: Generator) -> Tensor:
    """E‖ε_θ(x_t, t, c) − sg[ε_θ(x_t, t, ∅)]‖²; sg stops the gradient, ∅ is the null condition.

    It pulls a forgotten condition c to the null condition. Without it, c drifts back once its request is
    answered, because later requests change weights that all conditions share.

    Args:
        model: The model under training.
        x0: Retained images, ``[N, …]`` float; no forgotten image is needed.
        c: N conditions that earlier requests have removed.
        generator: On the CPU.

    Returns:
        A scalar.
    """
    noised = noise_batch(model, x0, generator)
    with torch.no_grad():
        target = model.denoise(noised.x_t, noised.t, model.null_condition(len(x0))).float()
    return denoising_loss(model, noised._replace(target=target), c)
