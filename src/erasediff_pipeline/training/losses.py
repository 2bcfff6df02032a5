"""Losses that base models and methods share."""

import torch
from tensordict import TensorDict
from torch import Generator, Tensor

from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import Noised, denoising_loss, drop_condition, noise_batch
from erasediff_pipeline.training.method import Batch


def training_loss(
    model: DiffusionModel,
    batch: Batch,
    condition_dropout: float,
    generator: Generator,
    teacher: DiffusionModel | None = None,
    instead: Tensor | None = None,
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
        instead: If given with a teacher, a retained condition for each of ``batch.forgotten_before``, ``[N]``
            int64, whose prediction those are taught. Where it is what they draw already, the gradient is
            zero until the model moves; the null condition is not, so ``indifference`` would move the model.

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
    before = model.condition(batch.forgotten_before)
    if teacher is None or instead is None:
        return loss + indifference(model, batch.x0, before, generator)
    taught = teach(teacher, noise_batch(model, batch.x0, generator), instead)
    return loss + denoising_loss(model, taught, before)


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


def indifference(model: DiffusionModel, x0: Tensor, c: TensorDict, generator: Generator) -> Tensor:
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
