"""Labelled images on disk."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from erasediff_pipeline.data.image_files import load_images, save_images
from erasediff_pipeline.data.images import LabelledImages


class LabelledImagesDataset(AbstractDataset[LabelledImages, LabelledImages]):
    """A folder of two arrays, the images memory-mapped when read.

    Args:
        filepath: The folder.
        metadata: Kept for plugins, not read here.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> LabelledImages:
        return load_images(self._filepath)

    def save(self, data: LabelledImages) -> None:
        save_images(data, self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / "images.npy").exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
