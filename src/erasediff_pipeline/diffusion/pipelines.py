"""Wrap diffusers' pipelines as models."""

import hashlib
import json
from collections.abc import Sequence

import torch
from diffusers import DDPMPipeline, DiffusionPipeline, StableDiffusionPipeline

from erasediff_pipeline.diffusion.class_conditional import ClassConditional
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.text_to_image import TextToImage
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.hashing import hash_weights


def model_of(
    pipeline: DiffusionPipeline, prompts: Sequence[str] = (), truncate: bool = False
) -> DiffusionModel:
    """Wrap a loaded pipeline as a model, on a CUDA GPU if there is one.

    Args:
        pipeline: The pipeline; the model shares its weights.
        prompts: Prompts of a text-to-image model; their number in this list is the condition.
        truncate: Cut prompts that are longer than the text encoder's context, instead of refusing them.

    Raises:
        MissingInput: It is neither a ``DDPMPipeline`` nor a ``StableDiffusionPipeline``, or it has no class
            embedding.
        InvalidRequest: A prompt is too long, or has no token.
    """
    model = wrap(pipeline, prompts, truncate)
    return model.to("cuda") if torch.cuda.is_available() else model


def wrap(pipeline: DiffusionPipeline, prompts: Sequence[str] = (), truncate: bool = False) -> DiffusionModel:
    """Wrap a loaded pipeline as ``model_of``, but leave the weights on their device.

    Raises:
        MissingInput: As ``model_of``.
        InvalidRequest: As ``model_of``.
    """
    if isinstance(pipeline, StableDiffusionPipeline):
        return TextToImage.from_pipeline(pipeline, prompts, truncate=truncate)
    if isinstance(pipeline, DDPMPipeline):
        return ClassConditional.from_pipeline(pipeline)
    raise MissingInput(
        f"the model is a {type(pipeline).__name__}: expected a DDPMPipeline or a StableDiffusionPipeline"
    )


def fingerprint_pipeline(pipeline: DiffusionPipeline) -> str:
    """SHA-256 of everything that decides its images: weights, configurations, and the tokenizer if any.

    Stored results carry this hash, since ``hash_pipeline`` does not see a changed noise schedule.
    """
    parts = [wrap(pipeline).fingerprint()]
    if (tokenizer := getattr(pipeline, "tokenizer", None)) is not None:
        parts.append(json.dumps([tokenizer.backend_tokenizer.to_str(), tokenizer.model_max_length]))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def hash_pipeline(pipeline: DiffusionPipeline) -> str:
    """SHA-256 of the weights: U-Net, and text encoder and autoencoder if any."""
    names = [name for name in ("unet", "text_encoder", "vae") if getattr(pipeline, name, None) is not None]
    parts = [hash_weights(getattr(pipeline, name)) for name in names]
    return parts[0] if len(parts) == 1 else hashlib.sha256(" ".join(parts).encode()).hexdigest()
