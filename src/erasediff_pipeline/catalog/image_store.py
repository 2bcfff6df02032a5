"""A folder of drawn images, each with a note of what it was drawn from."""

import os
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from erasediff_pipeline.catalog.store_dataset import StoreDataset
from erasediff_pipeline.data.folder import UNREADABLE

KEY = "made_from"


class ImageStore:
    """PNG files below a folder; the note is a text chunk of the file, so that the two cannot be parted.

    Args:
        folder: Its root.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def holds(self, place: str, made_from: str) -> bool:
        """Whether the image at ``place`` is there, whole, and drawn from just this."""
        try:
            with Image.open(self.folder / place) as image:
                image.load()
                return image.info.get(KEY) == made_from
        except UNREADABLE:
            return False

    def save(self, place: str, image: np.ndarray, made_from: str) -> None:
        """Write ``[3, H, W]`` uint8; the file appears whole or not at all."""
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        note = PngInfo()
        note.add_text(KEY, made_from)
        work = path.with_name(f".{path.name}")
        Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(work, "PNG", pnginfo=note)
        os.replace(work, path)

    def load(self, place: str) -> np.ndarray:
        """``[3, H, W]`` uint8."""
        with Image.open(self.folder / place) as image:
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


class ImageStoreDataset(StoreDataset[ImageStore]):
    """Hands the store to a node: a run that stops has lost a batch at most."""

    store = ImageStore
