"""Labelled images, in arrays that may be memory-mapped and are then read batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate


class Chosen:
    """Rows of an array on disk; each is read when it is used.

    Args:
        array: ``[N, …]``, memory-mapped.
        rows: ``[n]`` integers.
    """

    def __init__(self, array: "np.ndarray | Chosen", rows: np.ndarray):
        self.array, self.rows = array, rows
        self.shape: tuple[int, ...] = (len(rows), *array.shape[1:])
        self.dtype: np.dtype = array.dtype
        self.ndim: int = array.ndim

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.array[row] for row in self.rows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.array[self.rows[rows]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels; row i of both is row i of the manifest."""

    images: np.ndarray | Chosen
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
        """The labels that occur, in ascending order."""
        return [int(label) for label in np.unique(self.labels)]

    def select(self, rows: np.ndarray) -> "LabelledImages":
        """The images at integer or boolean ``rows``; images on disk are not read yet."""
        if not isinstance(self.images, np.memmap | Chosen):
            return LabelledImages(self.images[rows], self.labels[rows])
        chosen = np.flatnonzero(rows) if rows.dtype == bool else rows
        return LabelledImages(Chosen(self.images, chosen), self.labels[chosen])

    def join(self, other: "LabelledImages") -> "LabelledImages":
        """These images followed by the other ones, in memory."""
        images = np.concatenate([np.asarray(self.images), np.asarray(other.images)])
        return LabelledImages(images, np.concatenate([self.labels, other.labels]))

    def resized(self, side: int) -> "LabelledImages":
        """The images resized to squares of ``side`` pixels, by bilinear interpolation."""
        pixels = torch.from_numpy(np.array(self.images)).float()
        pixels = interpolate(pixels, (side, side), mode="bilinear", antialias=True).round().clamp(0, 255)
        return LabelledImages(pixels.to(torch.uint8).numpy(), self.labels)

    def in_colour(self) -> "LabelledImages":
        """Grey images with their channel repeated three times."""
        return LabelledImages(np.repeat(np.asarray(self.images), 3 // self.shape[0], axis=1), self.labels)

    def relabelled(self, labels: np.ndarray) -> "LabelledImages":
        """The same images with other labels, ``[N]`` int64, for example the numbers of their captions."""
        return LabelledImages(self.images, labels)

    def tensors(self, rows: np.ndarray | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Images ``[n, C, H, W]`` uint8 and labels ``[n]`` int64 at ``rows``."""
        return torch.from_numpy(np.array(self.images[rows])), torch.from_numpy(np.array(self.labels[rows]))
