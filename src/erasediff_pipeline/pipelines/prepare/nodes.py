"""Nodes of ``prepare``."""

import logging
from typing import Any

import pandas as pd

from erasediff_pipeline.config import CaptionSettings, SourceSettings
from erasediff_pipeline.data.captions import add_captions
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.manifest import build_manifest
from erasediff_pipeline.data.source import Found
from erasediff_pipeline.data.sources import SOURCES

logger = logging.getLogger(__name__)


def read_source(settings: SourceSettings) -> tuple[LabelledImages, Found]:
    """Read every image of the source."""
    return SOURCES[settings.name](settings)


def describe_images(
    images: LabelledImages,
    found: Found,
    settings: SourceSettings,
    captions: CaptionSettings,
    seed: int,
) -> pd.DataFrame:
    """Write the manifest: id, label, hash and split of each image, and its caption if there are any."""
    manifest = build_manifest(images, settings.test_fraction, seed, found.split)
    if found.captions:
        return manifest.assign(prompt=found.captions)
    return add_captions(manifest, captions, seed) if captions.words else manifest


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
