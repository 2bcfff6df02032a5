"""Labelled images, held as arrays that may be memory-mapped."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels; row i of both is row i of the manifest."""

    images: np.ndarray
    """``[N, C, H, W]`` uint8."""

    labels: np.ndarray
    """``[N]`` int64."""

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise ValueError(
                f"images must be [N, C, H, W] uint8, got {self.images.shape} {self.images.dtype}"
            )
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"{len(self.images)} images but labels shaped {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def classes(self) -> list[int]:
        """The labels that occur, ascending."""
        return [int(label) for label in np.unique(self.labels)]

    def select(self, rows: np.ndarray) -> "LabelledImages":
        """The images at integer or boolean ``rows``."""
        return LabelledImages(self.images[rows], self.labels[rows])

    def join(self, other: "LabelledImages") -> "LabelledImages":
        """These images, then the other ones, in memory."""
        images = np.concatenate([self.images, other.images])
        return LabelledImages(images, np.concatenate([self.labels, other.labels]))

    def resized(self, side: int) -> "LabelledImages":
        """The images as squares of ``side`` pixels, by bilinear interpolation."""
        pixels = torch.from_numpy(np.array(self.images)).float()
        pixels = interpolate(pixels, (side, side), mode="bilinear", antialias=True).round().clamp(0, 255)
        return LabelledImages(pixels.to(torch.uint8).numpy(), self.labels)

    def in_colour(self) -> "LabelledImages":
        """Grey images with their one channel three times."""
        return LabelledImages(np.repeat(self.images, 3 // self.shape[0], axis=1), self.labels)

    def relabelled(self, labels: np.ndarray) -> "LabelledImages":
        """The same images under other labels, ``[N]`` int64: the numbers of their captions, for one."""
        return LabelledImages(self.images, labels)

    def tensors(self, rows: np.ndarray | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Images ``[n, C, H, W]`` uint8 and labels ``[n]`` int64 at ``rows``."""
        return torch.from_numpy(np.array(self.images[rows])), torch.from_numpy(np.array(self.labels[rows]))
