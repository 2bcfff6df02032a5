"""The result of reading a source."""

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from erasediff_pipeline.errors import MissingInput


@dataclass
class Found:
    """What reading a source finds, besides images and labels."""

    names: list[str]
    """Names of the classes, by label."""

    _: KW_ONLY

    files: list[str] = field(default_factory=list)
    """Path of each image below ``source.path``; empty if the source has no files."""

    captions: list[str] = field(default_factory=list)
    """Caption of each image; empty if the source has no captions."""

    split: list[str] = field(default_factory=list)
    """``train`` or ``test`` for each image; empty if the source has no split."""

    sizes: Counter[str] = field(default_factory=Counter)
    """Number of images of each size, ``<width>×<height>``."""

    skipped: dict[str, str] = field(default_factory=dict)
    """Skipped file → reason."""


def collect(images: Iterable[np.ndarray]) -> np.ndarray:
    """Stack images ``[C, H, W]`` uint8 to ``[N, C, H, W]`` uint8, memory-mapped: as many as fit on the disk.

    An unnamed file in ``$TMPDIR`` holds them; it is deleted with the array.

    Raises:
        MissingInput: There is no image.
    """
    count, shape = 0, None
    with tempfile.TemporaryFile() as file:
        for image in images:
            file.write(np.ascontiguousarray(image).tobytes())
            count, shape = count + 1, image.shape
        if shape is None:
            raise MissingInput("source: expected at least one image, found none")
        file.flush()
        return np.memmap(file, np.uint8, "r", shape=(count, *shape))
