"""The manifest: one row an image."""

import hashlib

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.seeding import derive_seed


def build_manifest(data: LabelledImages, test_fraction: float, seed: int) -> pd.DataFrame:
    """Describe every image.

    Returns:
        Columns ``id`` (str, unique, the row number padded with zeros), ``label`` (int64), ``sha256``
        (of the pixels) and ``split`` (``train`` or ``test``, stratified by label).
    """
    rare = [label for label in data.classes if (data.labels == label).sum() < 2]
    if rare:
        raise MissingInput(
            f"source: class {rare[0]} has one image: needed are 2, one of them unseen in training"
        )
    _, test = train_test_split(
        np.arange(len(data)),
        test_size=test_fraction,
        stratify=data.labels,
        random_state=derive_seed(seed, "test split") % 2**32,
    )
    split = np.full(len(data), "train", dtype=object)
    split[test] = "test"
    return pd.DataFrame(
        {
            "id": [f"{row:06d}" for row in range(len(data))],
            "label": data.labels,
            "sha256": [hashlib.sha256(image.tobytes()).hexdigest() for image in data.images],
            "split": split.astype(str),
        }
    )
