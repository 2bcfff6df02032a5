"""Nodes of ``generate``."""

import numpy as np
import torch
from diffusers import DiffusionPipeline

from erasediff_pipeline.config import CaptionSettings, GenerateSettings, SamplingSettings
from erasediff_pipeline.data.captions import prompts_of
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.pipelines import model_of
from erasediff_pipeline.diffusion.sampling import draw_samples
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.seeding import derive_seed


def draw_images(
    base_model: DiffusionPipeline,
    captions: CaptionSettings,
    settings: GenerateSettings,
    sampling: SamplingSettings,
    seed: int,
) -> tuple[LabelledImages, list[str]]:
    """Let the base model draw each class, its prompts in turn, where there are no images of it.

    Returns:
        The images, and the prompt that each was drawn from.

    Raises:
        InvalidParameter: There are no words to make prompts of.
    """
    if not captions.words:
        raise InvalidParameter("captions.words: none: name the words for at least two classes")
    prompts: list[str] = []
    labels: list[int] = []
    for label, words in captions.words.items():
        prompts += np.resize(prompts_of(words, captions.templates), settings.images_per_class).tolist()
        labels += [label] * settings.images_per_class
    distinct = sorted(set(prompts))
    model = model_of(base_model, distinct)
    numbers = torch.tensor([distinct.index(prompt) for prompt in prompts])
    drawn = draw_samples(model, numbers, derive_seed(seed, "generate"), sampling, "generate")
    return LabelledImages(drawn, np.array(labels)), prompts
