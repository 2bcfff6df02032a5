"""Labelled images on disk: two arrays in a folder, the images memory-mapped when read."""

from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import AbstractDataset

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.files import atomic_directory


class LabelledImagesDataset(AbstractDataset[LabelledImages, LabelledImages]):
    """``images.npy`` ``[N, C, H, W]`` uint8 and ``labels.npy`` ``[N]`` int64; no pickles.

    Args:
        filepath: The folder.
        metadata: Kept for plugins, not read here.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> LabelledImages:
        images = np.load(self._filepath / "images.npy", mmap_mode="r", allow_pickle=False)
        return LabelledImages(images, np.load(self._filepath / "labels.npy", allow_pickle=False))

    def save(self, data: LabelledImages) -> None:
        with atomic_directory(self._filepath) as fresh:
            np.save(fresh / "images.npy", data.images, allow_pickle=False)
            np.save(fresh / "labels.npy", data.labels, allow_pickle=False)

    def _exists(self) -> bool:
        return (self._filepath / "images.npy").exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
