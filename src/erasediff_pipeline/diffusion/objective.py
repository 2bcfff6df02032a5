"""Noising and the denoising loss."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import mse_loss

from erasediff_pipeline.diffusion.model import DiffusionModel


class Noised(NamedTuple):
    """A batch on its way through the forward process."""

    x_t: Tensor
    """``[N, …]`` float: the noised batch."""

    t: Tensor
    """``[N]`` int64 in [0, T): the timestep of each."""

    target: Tensor
    """Shaped like ``x_t``: what the model should predict."""


def noise_batch(model: DiffusionModel, x0: Tensor, generator: Generator) -> Noised:
    """Noise ``x0`` at a uniformly drawn timestep an image (arXiv 2006.11239, algorithm 1)."""
    t = torch.randint(model.timesteps, (len(x0),), generator=generator, device=generator.device)
    eps = torch.randn(x0.shape, generator=generator, device=generator.device)
    t, eps = t.to(x0.device), eps.to(x0.device)
    return Noised(model.noise(x0, t, eps), t, model.target(x0, t, eps))


def in_parts(noised: Noised, c: Tensor, parts: int) -> Iterator[tuple[Noised, Tensor]]:
    """A batch of N and its conditions, at most ⌈N / parts⌉ images at a time."""
    size = -(-len(c) // parts)
    for x_t, t, target, of_these in zip(*(tensor.split(size) for tensor in (*noised, c)), strict=True):
        yield Noised(x_t, t, target), of_these


def drop_condition(model: DiffusionModel, c: Tensor, probability: float, generator: Generator) -> Tensor:
    """Put the null condition in the place of each condition with the given probability (arXiv 2207.12598)."""
    dropped = torch.rand(len(c), generator=generator, device=generator.device) < probability
    dropped = dropped.to(c.device).view(-1, *[1] * (c.dim() - 1))
    return torch.where(dropped, model.null_condition(len(c)), c)


def denoising_loss(model: DiffusionModel, noised: Noised, c: Tensor) -> Tensor:
    """Mean squared error of the prediction, a scalar (arXiv 2006.11239, equation 14)."""
    return mse_loss(model.denoise(noised.x_t, noised.t, c).float(), noised.target)
