"""Toy requests on toy data."""

import numpy as np
import pandas as pd

from erasediff_pipeline.config import CaptionSettings, ForgetRequest
from erasediff_pipeline.data.task import build_task


def toy_manifest(images):
    """A row an image, every fifth in the test split."""
    ids = [f"{row:03d}" for row in range(len(images))]
    split = np.where(np.arange(len(ids)) % 5 == 4, "test", "train")
    return pd.DataFrame({"id": ids, "label": images.labels, "sha256": ids, "split": split})


def toy_task(images, earlier=(), **asked):
    """A request, by class 0 where nothing else is asked."""
    asked = ForgetRequest(**(asked or {"classes": [0]}))
    return build_task(images, toy_manifest(images), asked, CaptionSettings(), earlier)
