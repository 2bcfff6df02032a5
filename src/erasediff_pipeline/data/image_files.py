"""Labelled images on disk: two arrays in a folder, no pickles."""

from pathlib import Path

import numpy as np

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.files import atomic_directory


def load_images(folder: Path) -> LabelledImages:
    """Read ``images.npy`` ``[N, C, H, W]`` uint8, memory-mapped, and ``labels.npy`` ``[N]`` int64."""
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    return LabelledImages(images, np.load(folder / "labels.npy", allow_pickle=False))


def save_images(data: LabelledImages, folder: Path) -> None:
    """Write both arrays; the folder appears whole or not at all."""
    with atomic_directory(folder) as fresh:
        np.save(fresh / "images.npy", data.images, allow_pickle=False)
        np.save(fresh / "labels.npy", data.labels, allow_pickle=False)
