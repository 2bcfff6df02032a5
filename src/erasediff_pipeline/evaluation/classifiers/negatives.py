"""Images of no class, which teach the classifier to reject: outlier exposure (arXiv 1812.04606)."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, interpolate, pixel_shuffle, pixel_unshuffle

Kind = Callable[[Tensor, Tensor, Generator], Tensor]
"""Images ``[N, C, H, W]`` float32 in 0…255 and their labels ``[N]`` → images ``[M, C, H, W]``, M ≤ N."""
PATCHES = 4
"""Patches along a side that are shuffled."""


def draw_negatives(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """Make as many images of each kind of ``KINDS`` from images of the classes.

    Args:
        images: ``[N, C, H, W]`` uint8, square, in random order.
        labels: ``[N]`` int64, their classes.
        generator: On the CPU.

    Returns:
        ``[M, C, H, W]`` uint8; M ≤ N, since a blend of one class with itself is left out.
    """
    parts = zip(KINDS, images.tensor_split(len(KINDS)), labels.tensor_split(len(KINDS)), strict=True)
    return torch.cat([draw_kind(kind, some, theirs, generator) for kind, some, theirs in parts])


def draw_kind(kind: str, images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """The same of one kind, a key of ``KINDS`` or of ``CONTROLS``."""
    if not len(images):
        return images  # pixel_shuffle takes no empty batch
    drawn = (KINDS | CONTROLS)[kind](images.float(), labels, generator)
    return drawn.round().clamp(0, 255).to(torch.uint8)


def _noise(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """Uniform pixels."""
    return _some_grey(255 * torch.rand(images.shape, generator=generator), generator)


def _smooth_noise(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """Gaussian noise of a coarse grid, enlarged; its standard deviation is from 60 to 200."""
    grid = int(torch.randint(2, max(3, images.shape[-1] // 2 + 1), (), generator=generator))
    coarse = torch.randn((*images.shape[:2], grid, grid), generator=generator)
    deviation = 60 + 140 * _share(images, generator)
    noise = interpolate(coarse, images.shape[2:], mode="bicubic")
    return _some_grey(127.5 + deviation * noise, generator)


def _blend(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """Two images of different classes: a weighted mean, or the brighter one at each pixel."""
    other, differs = _partners(images, labels)
    weight = 0.3 + 0.4 * _share(images, generator)
    mean, brighter = weight * images + (1 - weight) * other, torch.maximum(images, other)
    return torch.where(_share(images, generator) < 0.5, mean, brighter)[differs]


def _shuffled_patches(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """The patches of a grid in random order."""
    patches = min(PATCHES, images.shape[-1])
    side = images.shape[-1] // patches
    whole = side * patches
    columns = pixel_unshuffle(images[..., :whole, :whole], side)  # a position of the grid is a patch
    order = torch.rand((len(images), patches**2), generator=generator).argsort(dim=1)
    moved = columns.flatten(2).gather(2, order[:, None].expand(-1, columns.shape[1], -1))
    shuffled = images.clone()
    shuffled[..., :whole, :whole] = pixel_shuffle(moved.view_as(columns), side)
    return shuffled


def _drowned(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """A mean of an image and uniform pixels, of which these are 30 % to 70 %."""
    weight = 0.3 + 0.4 * _share(images, generator)
    return weight * images + (1 - weight) * _noise(images, labels, generator)


def _halves(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """The left half of an image beside the right half of one of another class."""
    other, differs = _partners(images, labels)
    middle = images.shape[-1] // 2
    return torch.cat([images[..., :middle], other[..., middle:]], dim=3)[differs]


def _blurred(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
    """The mean of a window of about half the side."""
    reach = images.shape[-1] // 4
    return avg_pool2d(images, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)


def _partners(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The image before each, and whether its class differs."""
    return images.roll(1, 0), labels != labels.roll(1)


def _share(images: Tensor, generator: Generator) -> Tensor:
    """A uniform number in [0, 1) for each image, ``[N, 1, 1, 1]``."""
    return torch.rand((len(images), 1, 1, 1), generator=generator)


def _some_grey(images: Tensor, generator: Generator) -> Tensor:
    """Every second image in shades of grey, or colour alone would tell noise from grey images."""
    return torch.where(_share(images, generator) < 0.5, images[:, :1], images)


KINDS: dict[str, Kind] = {
    "noise": _noise,
    "smooth_noise": _smooth_noise,
    "blends": _blend,
    "shuffled_patches": _shuffled_patches,
    "drowned_in_noise": _drowned,
}
"""What the classifier is trained to reject."""

CONTROLS: dict[str, Kind] = {
    "halves": _halves,
    "blurred": _blurred,
    "inverted": lambda images, labels, generator: 255 - images,
}
"""Kinds that it is not trained with, to see how far the training carries."""
