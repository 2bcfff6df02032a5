"""From diffusers' pipelines to the seam."""

import hashlib
from collections.abc import Sequence

from diffusers import DDPMPipeline, DiffusionPipeline, StableDiffusionPipeline

from erasediff_pipeline.diffusion.model import ClassConditional, DiffusionModel
from erasediff_pipeline.diffusion.text_to_image import TextToImage
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.hashing import hash_weights


def model_of(pipeline: DiffusionPipeline, prompts: Sequence[str] = ()) -> DiffusionModel:
    """The model of a loaded pipeline; a text-to-image one knows ``prompts`` by their number.

    Raises:
        MissingInput: It is neither a ``DDPMPipeline`` nor a ``StableDiffusionPipeline``.
    """
    if isinstance(pipeline, StableDiffusionPipeline):
        return TextToImage.from_pipeline(pipeline, prompts)
    if isinstance(pipeline, DDPMPipeline):
        return ClassConditional.from_pipeline(pipeline)
    raise MissingInput(
        f"the model is a {type(pipeline).__name__}: allowed are DDPMPipeline and StableDiffusionPipeline"
    )


def hash_pipeline(pipeline: DiffusionPipeline) -> str:
    """SHA-256 of the weights that decide what it draws: U-Net, and text encoder and autoencoder if any."""
    names = [name for name in ("unet", "text_encoder", "vae") if getattr(pipeline, name, None) is not None]
    parts = [hash_weights(getattr(pipeline, name)) for name in names]
    return parts[0] if len(parts) == 1 else hashlib.sha256(" ".join(parts).encode()).hexdigest()
