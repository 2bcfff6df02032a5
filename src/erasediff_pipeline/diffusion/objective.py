"""Noising and the denoising loss."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from tensordict import TensorDict
from torch import Generator, Tensor
from torch.nn.functional import mse_loss

from erasediff_pipeline.diffusion.model import DiffusionModel


class Noised(NamedTuple):
    """A noised batch."""

    x_t: Tensor
    """``[N, …]`` float."""

    t: Tensor
    """Times of the forward process, ``[N]``."""

    target: Tensor
    """Target of the prediction, shaped like ``x_t``."""


def noise_batch(
    model: DiffusionModel,
    x0: Tensor,
    generator: Generator,
    draw: Callable[..., Tensor] = torch.randn,
    t: Tensor | None = None,
) -> Noised:
    """Noise each image at a time of its own (arXiv 2006.11239, algorithm 1).

    Args:
        model: Has the forward process.
        x0: ``[N, …]`` float.
        generator: Source of times and noise.
        draw: Draws the noise.
        t: Times, ``[N]``; drawn as the model is trained if not given.
    """
    if t is None:
        t = model.process.draw(len(x0), generator)
    eps = draw(x0.shape, generator=generator, device=generator.device)
    t, eps = t.to(x0.device), eps.to(x0.device)
    return Noised(model.process.noise(x0, t, eps), t, model.process.target(x0, t, eps))


def in_parts(noised: Noised, c: TensorDict, parts: int) -> Iterator[tuple[Noised, TensorDict]]:
    """Split a batch of N and its N conditions into parts of at most ⌈N / parts⌉ images."""
    size = -(-len(c) // parts)
    for x_t, t, target, c_of_part in zip(*(part.split(size) for part in (*noised, c)), strict=True):
        yield Noised(x_t, t, target), c_of_part


def drop_condition(
    model: DiffusionModel, c: TensorDict, probability: float, generator: Generator
) -> TensorDict:
    """Replace each condition by the null condition with a given probability.

    See arXiv 2207.12598, algorithm 1.

    Args:
        model: Provides the null condition.
        c: N conditions.
        probability: In [0, 1].
        generator: On the CPU; source of the choice.

    Returns:
        N conditions.
    """
    dropped = torch.rand(len(c), generator=generator, device=generator.device) < probability
    if not probability:
        return c
    return model.null_condition(len(c)).where(dropped.to(model.device), c)


def squared_error(model: DiffusionModel, prediction: Tensor, noised: Noised) -> Tensor:
    """Compute the mean squared error of a prediction, weighed as the model is trained (``Process.weigh``).

    Args:
        model: Has the forward process.
        prediction: Shaped like ``noised.x_t``.
        noised: A batch of N.

    Returns:
        A scalar.
    """
    errors = mse_loss(prediction.float(), noised.target, reduction="none")
    return model.process.weigh(errors, noised.t).mean()


def denoising_loss(model: DiffusionModel, noised: Noised, c: TensorDict) -> Tensor:
    """Compute the mean squared error of the prediction (arXiv 2006.11239, equation 14).

    Args:
        model: The model.
        noised: A batch of N.
        c: Its N conditions.

    Returns:
        A scalar.
    """
    return squared_error(model, model.denoise(noised.x_t, noised.t, c), noised)
