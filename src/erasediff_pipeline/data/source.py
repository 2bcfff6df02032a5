"""What reading a source comes to, however large it is."""

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from erasediff_pipeline.errors import MissingInput


@dataclass
class Found:
    """What a source is made of, beside its images and labels."""

    names: list[str]
    """Of the classes, by label."""

    captions: list[str] = field(default_factory=list)
    """One an image; none where the source has no captions of its own."""

    split: list[str] = field(default_factory=list)
    """``train`` or ``test``, one an image; none where the source is not divided yet."""

    sizes: Counter[str] = field(default_factory=Counter)
    """How many images came as ``<width>×<height>``."""

    skipped: dict[str, str] = field(default_factory=dict)
    """File → why it was left out."""


def collect(images: Iterable[np.ndarray]) -> np.ndarray:
    """Images ``[C, H, W]`` uint8, one by one → ``[N, C, H, W]``, memory-mapped.

    They lie in a file without a name in ``$TMPDIR``, which goes with the array: so many as the disk holds.

    Raises:
        MissingInput: There is none.
    """
    count, shape = 0, None
    with tempfile.TemporaryFile() as file:
        for image in images:
            file.write(np.ascontiguousarray(image).tobytes())
            count, shape = count + 1, image.shape
        if shape is None:
            raise MissingInput("source: there is no image in it")
        file.flush()
        return np.memmap(file, np.uint8, "r", shape=(count, *shape))
