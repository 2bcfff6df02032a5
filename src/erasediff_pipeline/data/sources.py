"""The sources of images, by ``source.name``."""

from collections import Counter
from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_digits

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data.folder import read_folder
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.published import OPEN, read_published
from erasediff_pipeline.data.source import Found


def read_digits(settings: SourceSettings) -> tuple[LabelledImages, Found]:
    """Read scikit-learn's 1,797 handwritten digits: 8×8 pixels, grey, 17 levels scaled to 0–255.

    Args:
        settings: ``side`` resizes the images, ``rgb`` repeats the grey channel three times.

    Returns:
        Images ``[1797, 3 or 1, side, side]`` uint8 with labels 0 to 9; and class names and sizes. ``side`` is
        8 if the setting is null.
    """
    digits = load_digits()
    pixels = np.rint(digits.images / 16 * 255).astype(np.uint8)[:, None]
    images = LabelledImages(pixels, digits.target.astype(np.int64))
    if settings.side is not None:
        images = images.resized(settings.side)
    found = Found([str(digit) for digit in digits.target_names], sizes=Counter({"8×8": len(images)}))
    return images.in_colour() if settings.rgb else images, found


SOURCES: dict[str, Callable[[SourceSettings], tuple[LabelledImages, Found]]] = {
    "digits": read_digits,
    "image_folder": read_folder,
    **dict.fromkeys(OPEN, read_published),
}
