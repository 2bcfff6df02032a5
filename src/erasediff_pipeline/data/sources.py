"""Where images come from: one function a source, each returning labelled images and captions, if any."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data.folder import read_folder
from erasediff_pipeline.data.images import LabelledImages


class Source(NamedTuple):
    """What was read."""

    images: LabelledImages
    captions: list[str]
    """One an image; none where the source has no captions of its own."""


def read_digits(settings: SourceSettings) -> Source:
    """scikit-learn's handwritten digits: 1,797 grey images of 8×8, their 17 levels spread over 0–255."""
    digits = load_digits()
    pixels = np.rint(digits.images / 16 * 255).astype(np.uint8)[:, None]
    images = LabelledImages(pixels, digits.target.astype(np.int64))
    if settings.side is not None:
        images = images.resized(settings.side)
    return Source(images.in_colour() if settings.rgb else images, [])


def read_image_folder(settings: SourceSettings) -> Source:
    """A folder of class folders, see ``data.folder``."""
    assert settings.path is not None
    assert settings.side is not None
    images, captions = read_folder(settings.path, settings.side, settings.rgb)
    return Source(images, captions or [])


SOURCES: dict[str, Callable[[SourceSettings], Source]] = {
    "digits": read_digits,
    "image_folder": read_image_folder,
}
