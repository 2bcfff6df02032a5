"""What a method is: it fills in gradients, and owns no loop."""

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
    """``[N, …]`` float, the space of the denoiser."""

    labels: Tensor
    """``[N]`` int64, the number of the condition of each: a class, or a prompt."""

    forgotten_before: Tensor | None = None
    """``[N]`` int64, for each image a condition that an earlier request has taken out; None without such."""

    def part(self, index: int, parts: int) -> "Batch":
        """The ``index``-th of equal parts, from 0."""
        size = len(self.x0) // parts
        chosen = slice(index * size, (index + 1) * size)
        before = None if self.forgotten_before is None else self.forgotten_before[chosen]
        return Batch(self.x0[chosen], self.labels[chosen], before)


def autocast(model: Trainable, settings: TrainingSettings) -> torch.autocast:
    """The precision of a forward pass in ``prepare``; the loop sees to that of ``gradients``.

    To be entered anew whenever weights have moved: inside, their copies in 16 bits are kept.
    """
    return torch.autocast(model.device.type, torch.bfloat16, enabled=settings.mixed_precision == "bf16")


def training_loss(
    model: DiffusionModel,
    batch: Batch,
    condition_dropout: float,
    generator: Generator,
    teacher: DiffusionModel | None = None,
) -> Tensor:
    """The denoising loss with the condition dropped now and then, a scalar: what a base model is trained on.

    L_r of every method, on the retain set (arXiv 2207.12598, algorithm 1). After earlier requests, what is to
    be kept includes that their conditions stay forgotten. With a ``teacher``, its predictions are the target,
    see ``teach``.
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
    """Put the teacher's predictions under ``labels`` in the noise's place (arXiv 1606.09282, section 3).

    Also where the condition is dropped: the teacher's null condition still draws what is to be forgotten. The
    mean of these targets over the retained images that x_t may come from,

        E[ε_T(x_t, y) | x_t] = Σ_y p(y | x_t, retained) ε_T(x_t, y),

    is what an exact model of the retain set predicts without a condition, where the teacher is exact and all
    images of a retained condition are retained; the noise has the same mean, and varies more. Under the class
    of single images that are forgotten the teacher's prediction still has them in it.
    """
    return noised._replace(target=teacher.denoise(noised.x_t, noised.t, teacher.condition(labels)).float())


def indifference(model: DiffusionModel, x0: Tensor, c: Tensor, generator: Generator) -> Tensor:
    """E‖ε_θ(x_t, t, c) − sg[ε_θ(x_t, t, ∅)]‖², a scalar; sg stops the gradient.

    Pulls a forgotten condition c to where it says no more than the null condition ∅. Nothing else holds it,
    once its request is answered: it drifts back as later ones move the weights that all conditions share.
    ``x0`` are retained images: no forgotten one is needed.
    """
    noised = noise_batch(model, x0, generator)
    with torch.no_grad():
        target = model.denoise(noised.x_t, noised.t, model.null_condition(len(x0))).float()
    return denoising_loss(model, noised._replace(target=target), c)


class TrainingData(NamedTuple):
    """What a method may read."""

    retain: LabelledImages
    """Images to go on knowing; for pretraining, all of them."""

    forget: LabelledImages | None = None
    """Images to forget."""

    forgotten_before: Sequence[int] = ()
    """Conditions that earlier requests have taken out of the model: their images are in neither set."""

    anchor: int | None = None
    """The condition that the forgotten ones should become, where the request names one."""


Scalars = dict[str, float]
M = TypeVar("M", bound=Trainable)
M_contra = TypeVar("M_contra", bound=Trainable, contravariant=True)


class Method(Protocol[M_contra]):
    """An objective, as the gradient of its loss.

    One that works on the condition as a whole says so by ``classes_only = True``: it refuses a request by
    ids, and a comparison by ids leaves it out; one that needs a text-to-image model, by ``prompts_only =
    True``. A method with ``closed_form = True`` has ``edit(model, data)`` in place of all else: it moves the
    weights itself, at once, and returns what to log.
    """

    @property
    def name(self) -> str:
        """What the progress bar calls it."""

    @property
    def subset(self) -> str:
        """The weights that may move, see ``Trainable.trainable``."""

    def prepare(self, model: M_contra, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Do once what every step needs: a saliency mask, a Fisher diagonal, a proxy.

        It may also change the weights that training starts from. ``store`` keeps what is dear; every
        random draw comes from ``seed``, and ``model`` is in evaluation mode: dropout would draw too. It
        computes activations twice where that is asked for; batches in parts and the precision of the forward
        pass are the method's own business, see ``in_parts`` and ``autocast``.
        """

    def gradients(
        self,
        model: M_contra,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        """Leave ``.grad`` on the trainable parameters; return what to log."""
