"""The manifest: one row per image."""

import hashlib
from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from erasediff_pipeline.config import CaptionSettings, SourceSettings
from erasediff_pipeline.data.captions import add_captions, check_words
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.source import Found
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.seeding import derive_seed


def describe_images(
    images: LabelledImages,
    found: Found,
    settings: SourceSettings,
    captions: CaptionSettings,
    seed: int,
) -> pd.DataFrame:
    """Build the manifest: id, label, hash and split of each image, and its caption if there are captions.

    Args:
        images: All images.
        found: Split and captions of the source, if it has any.
        settings: Share of the test split.
        captions: Words and sentences, for a source without captions.
        seed: Seed of split and captions.

    Returns:
        As ``build_manifest``; also ``class`` (its name) if classes have names, ``file`` (the path below
        ``source.path``) if images have files, and ``prompt`` if they have captions, all str.

    Raises:
        MissingInput: A class has a single image.
        InvalidParameter: A class has no words, or those of another class, although ``captions.words`` is set.
    """
    manifest = build_manifest(images, settings.test_fraction, seed, found.split)
    named = any(name != str(label) for label, name in enumerate(found.names))
    if named:
        manifest["class"] = [found.names[label] for label in images.labels]
    if found.files:
        manifest["file"] = found.files
    if found.captions:
        return manifest.assign(prompt=found.captions)
    if not captions.words:
        return manifest
    if named:
        check_words(dict(enumerate(found.names)), captions)
    return add_captions(manifest, captions, seed)


def build_manifest(
    data: LabelledImages, test_fraction: float, seed: int, split: Sequence[str] = ()
) -> pd.DataFrame:
    """Describe every image.

    Args:
        data: All images.
        test_fraction: Share of the test split.
        seed: Seed of the split.
        split: The data set's own split, ``train`` or ``test`` for each image; drawn if empty.

    Returns:
        Columns ``id`` (str, unique, the row number padded with zeros), ``label`` (int64), ``sha256``
        (of the pixels) and ``split`` (``train`` or ``test``, stratified by label).
    """
    return pd.DataFrame(
        {
            "id": [f"{row:06d}" for row in range(len(data))],
            "label": data.labels,
            "sha256": [hashlib.sha256(image.tobytes()).hexdigest() for image in data.images],
            "split": list(split) or _draw_split(data, test_fraction, seed),
        }
    )


def _draw_split(data: LabelledImages, test_fraction: float, seed: int) -> list[str]:
    """``train`` or ``test`` for each image, stratified by label.

    Raises:
        MissingInput: A class has a single image.
        InvalidParameter: Fewer images would be left to train on than there are classes.
    """
    labels, counts = np.unique(data.labels, return_counts=True)
    if counts.min() < 2:
        raise MissingInput(
            f"source: class {labels[counts.argmin()]} has one image: expected at least 2, one of them "
            "for the test split; classes count from 0, in alphabetical order"
        )
    test_images = ceil(test_fraction * len(data))  # as scikit-learn rounds
    if test_images > len(data) - len(labels):
        raise InvalidParameter(
            f"source.test_fraction: {test_fraction}: {test_images} of {len(data)} images: expected at "
            f"least one image of each of the {len(labels)} classes to train on"
        )
    _, test = train_test_split(
        np.arange(len(data)),
        test_size=max(test_images, len(labels)),
        stratify=data.labels,
        random_state=derive_seed(seed, "test split") % 2**32,
    )
    chosen = np.isin(np.arange(len(data)), test)
    rng = np.random.default_rng(derive_seed(seed, "rare classes"))
    for label in labels:  # one unseen image, and one to train on, of the rarest class, too
        of_class = np.flatnonzero(data.labels == label)
        if chosen[of_class].all() or not chosen[of_class].any():
            chosen[rng.choice(of_class)] ^= True
    return np.where(chosen, "test", "train").tolist()


def check_manifest(manifest: pd.DataFrame, images: LabelledImages, where: str) -> None:
    """Refuse a manifest that does not describe these images, row by row.

    Args:
        manifest: As ``build_manifest``.
        images: All images.
        where: Names the manifest in messages.

    Raises:
        MissingInput: Names the first thing that is wrong.
    """
    remedy = "restore the file, or run `kedro run --pipeline=prepare`"

    def refuse_unless(right: Any, what: str) -> None:
        if not np.all(right):
            row = f"row {np.flatnonzero(~np.asarray(right))[0]}: " if np.ndim(right) else ""
            raise MissingInput(f"{where}: {row}{what}: {remedy}")

    columns = ["id", "label", "sha256", "split"]
    absent = [column for column in columns if column not in manifest]
    refuse_unless(not absent, f"expected the columns {columns}, found {list(manifest.columns)}")
    refuse_unless(len(manifest) == len(images), f"{len(manifest)} rows for {len(images)} images")
    ids, labels = manifest["id"], pd.to_numeric(manifest["label"], errors="coerce")
    refuse_unless([isinstance(name, str) for name in ids], "expected an `id` of text")
    refuse_unless(~ids.duplicated(), "expected an `id` that no row above has")
    refuse_unless(pd.api.types.is_integer_dtype(manifest["label"]), "expected a `label` that is an integer")
    refuse_unless(labels >= 0, "expected a `label` from 0 on")
    refuse_unless(labels.to_numpy() == images.labels, "the `label` is not that of the image")
    refuse_unless(manifest["split"].isin(["train", "test"]), "expected the `split` train or test")
    hashes = [hashlib.sha256(image.tobytes()).hexdigest() for image in images.images]
    refuse_unless(manifest["sha256"] == hashes, "the image is another: its `sha256` differs")
