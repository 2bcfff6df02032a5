"""Nodes of ``prepare``."""

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.source import Found
from erasediff_pipeline.data.sources import SOURCES


def read_source(settings: SourceSettings) -> tuple[LabelledImages, Found]:
    """Read every image of the source that ``source.name`` names."""
    return SOURCES[settings.name](settings)
