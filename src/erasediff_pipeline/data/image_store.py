"""A folder of drawn images, each with a note of what it was drawn from."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from erasediff_pipeline.data.folder import UNREADABLE
from erasediff_pipeline.files import atomic_file
from erasediff_pipeline.progress import show_progress

KEY = "made_from"


class ImageStore:
    """PNG files below a folder; the note is a text chunk of the file, so image and note stay together.

    Args:
        folder: Its root.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def holds(self, place: str, made_from: str) -> bool:
        """Whether the image at ``place`` is complete and has this note."""
        try:
            with Image.open(self.folder / place) as image:
                image.load()
                return image.info.get(KEY) == made_from
        except UNREADABLE:
            return False

    def save(self, place: str, image: np.ndarray, made_from: str) -> None:
        """Write ``[3, H, W]`` uint8; the file appears whole or not at all."""
        note = PngInfo()
        note.add_text(KEY, made_from)
        drawn = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
        with atomic_file(self.folder / place) as temporary:
            drawn.save(temporary, "PNG", pnginfo=note)

    def fill(
        self,
        places: Sequence[str],
        notes: Sequence[str],
        draw: Callable[[list[int]], Tensor],
        groups: Iterable[Sequence[int]],
        batch_size: int,
        title: str,
    ) -> None:
        """Draw the missing images, batch by batch: a stopped run continues with the next batch.

        Args:
            places: Path of each image, below the folder.
            notes: What each image is drawn from.
            draw: Numbers of N rows → their images ``[N, 3, H, W]`` uint8.
            groups: Numbers of all rows, in groups that may be drawn together.
            batch_size: Images drawn at a time.
            title: Of the progress bar.
        """
        held = [self.holds(place, note) for place, note in zip(places, notes, strict=True)]
        with show_progress(total=len(held), initial=sum(held), desc=title, unit="image") as bar:
            for group in groups:
                missing = [row for row in group if not held[row]]
                for start in range(0, len(missing), batch_size):
                    batch = missing[start : start + batch_size]
                    for row, image in zip(batch, draw(batch).numpy(), strict=True):
                        self.save(places[row], image, notes[row])
                    bar.update(len(batch))

    def load(self, place: str) -> np.ndarray:
        """Read one image, ``[3, H, W]`` uint8."""
        with Image.open(self.folder / place) as image:
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
