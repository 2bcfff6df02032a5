"""Nodes of ``generate``."""

from erasediff_pipeline.config import CaptionSettings, GenerateSettings, SamplingSettings
from erasediff_pipeline.data.image_store import ImageStore
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.source import Found
from erasediff_pipeline.diffusion.generate import generate_images
from erasediff_pipeline.diffusion.io import ModelWithHistory


def draw_images(
    base_model: ModelWithHistory,
    store: ImageStore,
    captions: CaptionSettings,
    settings: GenerateSettings,
    sampling: SamplingSettings,
    seed: int,
) -> tuple[LabelledImages, Found]:
    """Let the base model draw each class."""
    return generate_images(base_model.pipeline, store, captions, settings, sampling, seed)
