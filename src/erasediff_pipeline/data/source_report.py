"""``source.json``: contents of a source."""

import logging
from typing import Any

import pandas as pd

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.named import plain_name
from erasediff_pipeline.data.source import Found

logger = logging.getLogger(__name__)


def report_source(
    images: LabelledImages, manifest: pd.DataFrame, found: Found, settings: SourceSettings
) -> dict[str, Any]:
    """Build ``source.json``.

    Args:
        images: All images.
        manifest: One row per image.
        found: Class names, sizes, and skipped files.
        settings: Name of the source.

    Returns:
        ``source``, ``images`` (their number), ``shape`` (C, H, W), ``classes`` (``label``, ``name``,
        ``train``, ``test``), ``constant`` (number of images of a single colour), ``copies`` (number of images
        whose pixels another one has), ``sizes`` (number of images of each size), ``skipped`` (file → reason).
    """
    counts = pd.crosstab(manifest["label"], manifest["split"]).reindex(
        columns=["train", "test"], fill_value=0
    )
    classes = [
        {"label": label, "name": found.names[label], **counts.loc[label].to_dict()}
        for label in images.classes
    ]
    for row in classes:
        logger.info("class %(label)d is %(name)r: %(train)d images to train on, %(test)d unseen", row)
    for alike in _alike(found.names):
        logger.warning("the classes %s differ only in how their names are written: are they one?", alike)
    constant = sum(int(image.min() == image.max()) for image in images.images)
    copies = int(manifest["sha256"].duplicated().sum())
    for count, what in ((constant, "have a single colour"), (copies, "are copies of others")):
        if count > len(images) / 2:
            logger.warning("%d of %d images %s: look at the files of the source", count, len(images), what)
    if found.skipped:
        logger.warning("%d files were skipped; source.json lists them", len(found.skipped))
    return {
        "source": settings.name,
        "images": len(images),
        "shape": list(images.shape),
        "classes": classes,
        "constant": constant,
        "copies": copies,
        "sizes": dict(found.sizes.most_common()),
        "skipped": found.skipped,
    }


def _alike(names: list[str]) -> list[list[str]]:
    """Names that are equal but for upper and lower case, spaces around them, or the form of é."""
    same: dict[str, list[str]] = {}
    for name in names:
        same.setdefault(plain_name(name).casefold(), []).append(name)
    return [found for found in same.values() if len(found) > 1]
