"""Nodes of ``prepare``."""

import pandas as pd

from erasediff_pipeline.config import CaptionSettings, SourceSettings
from erasediff_pipeline.data.captions import add_captions
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.manifest import build_manifest
from erasediff_pipeline.data.sources import SOURCES


def read_source(settings: SourceSettings) -> tuple[LabelledImages, list[str]]:
    """Read every image of the source, and the captions that come with them."""
    return SOURCES[settings.name](settings)


def describe_images(
    images: LabelledImages,
    own_captions: list[str],
    settings: SourceSettings,
    captions: CaptionSettings,
    seed: int,
) -> pd.DataFrame:
    """Write the manifest: id, label, hash and split of each image, and its caption if there are any."""
    manifest = build_manifest(images, settings.test_fraction, seed)
    if own_captions:
        return manifest.assign(prompt=own_captions)
    return add_captions(manifest, captions, seed) if captions.words else manifest
