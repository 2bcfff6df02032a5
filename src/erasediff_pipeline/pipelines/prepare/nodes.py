"""Nodes of ``prepare``."""

import pandas as pd

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.manifest import build_manifest
from erasediff_pipeline.data.sources import SOURCES


def read_source(settings: SourceSettings) -> LabelledImages:
    """Read every image of the source."""
    return SOURCES[settings.name]()


def describe_images(images: LabelledImages, settings: SourceSettings, seed: int) -> pd.DataFrame:
    """Write the manifest: id, label, hash and split of each image."""
    return build_manifest(images, settings.test_fraction, seed)
