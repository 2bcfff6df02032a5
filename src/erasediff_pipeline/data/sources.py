"""Where images come from: one function a source, each returning labelled images."""

from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_digits

from erasediff_pipeline.data.images import LabelledImages


def read_digits() -> LabelledImages:
    """scikit-learn's handwritten digits: 1,797 grey images of 8×8, their 17 levels spread over 0–255."""
    digits = load_digits()
    images = np.rint(digits.images / 16 * 255).astype(np.uint8)[:, None]
    return LabelledImages(images, digits.target.astype(np.int64))


SOURCES: dict[str, Callable[[], LabelledImages]] = {"digits": read_digits}
