"""``source.json``: what a source was found to be made of."""

import logging
from typing import Any

import pandas as pd

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.source import Found

logger = logging.getLogger(__name__)


def report_source(
    images: LabelledImages, manifest: pd.DataFrame, found: Found, settings: SourceSettings
) -> dict[str, Any]:
    """``source.json``: classes with their names and counts, sizes, and what was left out and why."""
    counts = pd.crosstab(manifest["label"], manifest["split"]).reindex(
        columns=["train", "test"], fill_value=0
    )
    classes = [
        {"label": label, "name": found.names[label], **counts.loc[label].to_dict()}
        for label in images.classes
    ]
    for row in classes:
        logger.info("class %(label)d is %(name)r: %(train)d images to train on, %(test)d unseen", row)
    if found.skipped:
        logger.warning("left out: %d files, named in source.json", len(found.skipped))
    return {
        "source": settings.name,
        "images": len(images),
        "shape": list(images.shape),
        "sizes": dict(found.sizes.most_common()),
        "classes": classes,
        "skipped": found.skipped,
    }
