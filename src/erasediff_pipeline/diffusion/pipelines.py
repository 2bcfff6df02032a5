"""Wrap diffusers' pipelines as models."""

import hashlib
import json
from collections.abc import Sequence

import torch
from diffusers import DiffusionPipeline

from erasediff_pipeline.diffusion.models.family import Family
from erasediff_pipeline.diffusion.models.prompted import Prompted
from erasediff_pipeline.diffusion.models.registry import FAMILIES
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.hashing import hash_weights


def model_of(pipeline: DiffusionPipeline, prompts: Sequence[str] = (), truncate: bool = False) -> Family:
    """Wrap a loaded pipeline as a model, on a CUDA GPU if there is one.

    Args:
        pipeline: The pipeline; the model shares its weights.
        prompts: Prompts of a text-to-image model; their number in this list is the condition.
        truncate: Cut prompts that are longer than the text encoder's context, instead of refusing them.

    Raises:
        MissingInput: Its class is not in ``FAMILIES``, or the family lacks something in it.
        InvalidRequest: A prompt is too long, or has no token.
    """
    model = wrap(pipeline, prompts, truncate)
    return model.to("cuda") if torch.cuda.is_available() else model


def wrap(pipeline: DiffusionPipeline, prompts: Sequence[str] = (), truncate: bool = False) -> Family:
    """Wrap a loaded pipeline as ``model_of``, but leave the weights on their device.

    Raises:
        MissingInput: As ``model_of``.
        InvalidRequest: As ``model_of``.
    """
    family = FAMILIES.get(type(pipeline))
    if family is None:
        known = ", ".join(sorted(kind.__name__ for kind in FAMILIES))
        raise MissingInput(f"the model is a {type(pipeline).__name__}: expected one of {known}")
    return family(pipeline, prompts, truncate) if issubclass(family, Prompted) else family(pipeline)


def takes_prompts(pipeline: DiffusionPipeline) -> bool:
    """Whether the conditions of a pipeline are prompts, and not classes."""
    return issubclass(FAMILIES.get(type(pipeline), Family), Prompted)


def fingerprint_pipeline(pipeline: DiffusionPipeline) -> str:
    """SHA-256 of everything that decides its images: weights, configurations, and the tokenizer if any.

    Stored results carry this hash, since ``hash_pipeline`` does not see a changed noise schedule.
    """
    parts = [wrap(pipeline).fingerprint()]
    if (kind := type(pipeline.scheduler).__name__) != "DDPMScheduler":
        parts.append(kind)
    for name in sorted(name for name in pipeline.components if name.startswith("tokenizer")):
        tokenizer = getattr(pipeline, name)
        if tokenizer := getattr(tokenizer, "tokenizer", tokenizer):  # a processor has one
            rules = json.loads(tokenizer.backend_tokenizer.to_str())
            rules |= {"truncation": None, "padding": None}  # of the last call
            told = [rules, tokenizer.model_max_length, tokenizer.chat_template]
            parts.append(json.dumps(told, sort_keys=True))
            parts.append(str(pipeline.config.get("force_zeros_for_empty_prompt")))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def hash_pipeline(pipeline: DiffusionPipeline) -> str:
    """SHA-256 of the weights: denoiser, and text encoders and autoencoder if any."""
    family = FAMILIES[type(pipeline)]
    parts = [getattr(pipeline, name) for name in (family.denoiser_name, *sorted(family.frozen))]
    hashes = [hash_weights(part) for part in parts if part is not None]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()
