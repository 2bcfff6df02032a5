"""What a diffusion model would predict for an image that it has never seen, from its own predictions."""

import torch
from torch import Generator, Tensor

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import Noised
from erasediff_pipeline.progress import show_progress
from erasediff_pipeline.seeding import make_generator

LEVELS = 40
"""Ranges of timesteps, of equal length, in which the losses are compared: they change fast at small t."""
IMAGES = 2048
"""Images of each set to measure at each level, at most."""

FLOOR = 1e-6
"""What a level without any difference adds to its chance: (s − 1)² is about 1e-3 at the largest."""
WEIGHT = 30.0
"""Weight of the forget loss with this target. The target differs from the base model's prediction by a few
percent of its error, so the loss is far smaller than for another class. Chosen on the digits, see
docs/experiments/single-images.md."""


@torch.no_grad()
def unseen_factors(
    model: DiffusionModel, seen: LabelledImages, unseen: LabelledImages, seed: int, batch_size: int
) -> Tensor:
    """By how much the model's errors on unseen images exceed those on its training images.

        s_l = max(1, √(L_unseen,l / L_seen,l)),

    L_l the denoising loss averaged over images, noise and the times at places p with ⌊LEVELS·p / T⌋ = l of
    the process's grid.

    Args:
        model: The base model, in evaluation mode.
        seen: Training images under their conditions.
        unseen: Images under their conditions that the model was not trained on.
        seed: Seed of the choice of images, of timesteps and of noise.
        batch_size: Images per batch.

    Returns:
        ``[LEVELS]`` float32, on the model's device; 1 where the model has learnt nothing by heart.
    """
    losses = [
        _losses(model, images, seed, batch_size, f"losses, {which} images")
        for which, images in (("unseen", unseen), ("training", seen))
    ]
    return (losses[0] / losses[1]).sqrt().clamp(min=1)


def _losses(model: DiffusionModel, images: LabelledImages, seed: int, batch_size: int, title: str) -> Tensor:
    """The denoising loss at each level, ``[LEVELS]`` float32."""
    generator = make_generator(seed, "unseen")
    rows = torch.randperm(len(images), generator=generator)[:IMAGES]
    total, times = torch.zeros(LEVELS, device=model.device), model.process.times
    for part in show_progress(rows.split(batch_size), title, unit="batch"):
        pixels, labels = images.tensors(part.numpy())
        x0, c = model.encode(pixels), model.condition(labels)
        for level in range(LEVELS):
            low, high = level * len(times) // LEVELS, (level + 1) * len(times) // LEVELS
            t = times[torch.randint(low, max(high, low + 1), (len(x0),), generator=generator)].to(x0.device)
            eps = torch.randn(x0.shape, generator=generator).to(x0.device)
            x_t, target = model.process.noise(x0, t, eps), model.process.target(x0, t, eps)
            error = model.denoise(x_t, t, c).float() - target
            total[level] += error.square().flatten(1).mean(dim=1).sum()
    return total / len(rows)


def draw_times(factors: Tensor, count: int, times: Tensor, generator: Generator) -> Tensor:
    """Draw times for forget images where the model knows its images by heart.

    Elsewhere the target is what the model predicts anyway. A level is drawn with a probability that grows
    with (s − 1)²; all are alike if no s is above 1. Within a level, places on the grid are uniform.

    Args:
        factors: From ``unseen_factors``.
        count: N.
        times: The grid of the forward process, ``[T]``.
        generator: On the CPU.

    Returns:
        ``[N]``, of the grid.
    """
    chances = (factors.cpu() - 1).square() + FLOOR
    level = torch.multinomial(chances, count, replacement=True, generator=generator)
    low, high = level * len(times) // LEVELS, (level + 1) * len(times) // LEVELS
    return times[low + (torch.rand(count, generator=generator) * (high - low)).long()]


@torch.no_grad()
def as_unseen(base: DiffusionModel, noised: Noised, labels: Tensor, factors: Tensor) -> Noised:
    """Replace the target ε by what the base model would predict had it not been trained on these images,

        ε + s·(ε_base(x_t, t, c) − ε) = ε_base + (s − 1)·(ε_base − ε).

    This takes the images' influence out as SISS does (arXiv 2503.01034, section 4), whose optimum has
    p / (1 − p) in place of s − 1, p the share of the forgotten images in the data at x_t. That weight grows
    without bound as t → 0, and holds for a model that knows its data by heart; ``unseen_factors`` measures
    how much this model does. A prediction at the target is as bad as on unseen images, not worse.

    Args:
        base: A frozen copy of the base model.
        noised: A batch of N; its target is that of denoising.
        labels: Numbers of the conditions, ``[N]`` int64.
        factors: From ``unseen_factors``.
    """
    levels = base.process.places(noised.t) * LEVELS // len(base.process.times)
    s = factors[levels].view(-1, *[1] * (noised.x_t.dim() - 1))
    error = base.denoise(noised.x_t, noised.t, base.condition(labels)).float() - noised.target
    return noised._replace(target=noised.target + s * error)
