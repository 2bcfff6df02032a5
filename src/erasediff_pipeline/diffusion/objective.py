"""Noising and the denoising loss."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import mse_loss

from erasediff_pipeline.diffusion.model import DiffusionModel


class Noised(NamedTuple):
    """A noised batch."""

    x_t: Tensor
    """``[N, …]`` float."""

    t: Tensor
    """Timesteps, ``[N]`` int64 in [0, T)."""

    target: Tensor
    """Target of the prediction, shaped like ``x_t``."""


def noise_batch(
    model: DiffusionModel,
    x0: Tensor,
    generator: Generator,
    draw: Callable[..., Tensor] = torch.randn,
    t: Tensor | None = None,
) -> Noised:
    """Noise each image at a timestep of its own (arXiv 2006.11239, algorithm 1).

    Args:
        model: Has the noise schedule.
        x0: ``[N, …]`` float.
        generator: Source of timesteps, uniform in [0, T), and noise.
        draw: Draws the noise.
        t: Timesteps, ``[N]`` int64; drawn if not given.
    """
    if t is None:
        t = torch.randint(model.timesteps, (len(x0),), generator=generator, device=generator.device)
    eps = draw(x0.shape, generator=generator, device=generator.device)
    t, eps = t.to(x0.device), eps.to(x0.device)
    return Noised(model.noise(x0, t, eps), t, model.target(x0, t, eps))


def in_parts(noised: Noised, c: Tensor, parts: int) -> Iterator[tuple[Noised, Tensor]]:
    """Split a batch of N and its N conditions into parts of at most ⌈N / parts⌉ images."""
    size = -(-len(c) // parts)
    for x_t, t, target, c_of_part in zip(*(tensor.split(size) for tensor in (*noised, c)), strict=True):
        yield Noised(x_t, t, target), c_of_part


def drop_condition(model: DiffusionModel, c: Tensor, probability: float, generator: Generator) -> Tensor:
    """Replace each condition by the null condition with a given probability.

    See arXiv 2207.12598, algorithm 1.

    Args:
        model: Provides the null condition.
        c: N conditions.
        probability: In [0, 1].
        generator: On the CPU; source of the choice.

    Returns:
        N conditions, shaped like ``c``.
    """
    dropped = torch.rand(len(c), generator=generator, device=generator.device) < probability
    dropped = dropped.to(c.device).view(-1, *[1] * (c.dim() - 1))
    return torch.where(dropped, model.null_condition(len(c)), c)


def denoising_loss(model: DiffusionModel, noised: Noised, c: Tensor) -> Tensor:
    """Compute the mean squared error of the prediction (arXiv 2006.11239, equation 14).

    Args:
        model: The model.
        noised: A batch of N.
        c: Its N conditions.

    Returns:
        A scalar.
    """
    return mse_loss(model.denoise(noised.x_t, noised.t, c).float(), noised.target)
