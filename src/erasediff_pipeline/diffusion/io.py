"""Load and save pipelines and single models: safetensors only, the same bytes for the same model."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from pydantic import TypeAdapter, ValidationError

from erasediff_pipeline.data.request import AnsweredRequest
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.files import atomic_directory

diffusers_logging.disable_progress_bar()  # it counts the parts of a pipeline, which load at once

HISTORY = "request_history.json"
"""What the model has forgotten, one entry per request; saved beside the weights."""
NO_SAFETY_CHECKER = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
"""The checker would hide images that the evaluation must see."""
LONGEST = 300
"""Characters of an error of diffusers that are shown."""
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_Entries = TypeAdapter(tuple[AnsweredRequest, ...])


@dataclass(frozen=True)
class ModelWithHistory:
    """A pipeline, and the requests that it has answered."""

    pipeline: DiffusionPipeline
    history: tuple[AnsweredRequest, ...] = ()
    """Oldest first; empty for a base model."""


def load_model(folder: Path) -> ModelWithHistory:
    """Load a pipeline with its request history, in 32 bits, from local files.

    Raises:
        MissingInput: The folder holds pickled weights, or a file of it is missing or damaged.
    """
    refuse_pickles(folder)
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    if (folder / "text_encoder").exists():
        # transformers would keep half precision if the weights are stored so
        options |= {"torch_dtype": torch.float32, **NO_SAFETY_CHECKER}
    if variants := {name.split(".")[-2] for name in _weights(folder)} & {"fp16", "bf16"}:
        options["variant"] = min(variants)  # there are no others
    try:
        pipeline = DiffusionPipeline.from_pretrained(str(folder), **options)
    except Exception as error:  # diffusers, transformers and safetensors raise many kinds
        said = " ".join(str(error).split())[:LONGEST]
        raise MissingInput(f"{folder}: cannot be loaded: {said}: restore it, or download it again") from error
    return ModelWithHistory(pipeline, _read_history(folder / HISTORY))


def save_model(model: ModelWithHistory, folder: Path, half: bool = False) -> None:
    """Save a pipeline with its request history; the folder appears whole or not at all.

    Args:
        model: The pipeline; it stays as it is.
        folder: Where to write; an earlier folder is replaced.
        half: Store the weights as 16-bit floats.
    """
    pipeline = copy.deepcopy(model.pipeline).to(torch.float16) if half else model.pipeline
    with atomic_directory(folder) as fresh:
        save_reproducibly(pipeline, fresh)
        if model.history:
            entries = [entry.to_json() for entry in model.history]
            (fresh / HISTORY).write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")


def save_reproducibly(model: Any, folder: Path) -> None:
    """``save_pretrained`` as safetensors, without the paths that diffusers notes."""
    model.save_pretrained(str(folder), safe_serialization=True)
    for file in folder.rglob("*.json"):
        config = json.loads(file.read_text())
        if config.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def refuse_pickles(folder: Path) -> None:
    """Refuse a part of a pipeline whose weights are pickled, and could run code.

    Files that would not be loaded do not matter: checkpoints of a trainer, or pickles beside safetensors.

    Raises:
        MissingInput: A part has pickled weights only.
    """
    parts = [part for part in folder.iterdir() if part.is_dir() and (part / "config.json").exists()]
    for part in parts:
        pickles = sorted(file.name for file in part.iterdir() if file.suffix in PICKLES)
        if pickles and not any(file.suffix == ".safetensors" for file in part.iterdir()):
            raise MissingInput(
                f"{part} holds {pickles}: expected safetensors. Convert in an isolated environment, since "
                "loading pickles can run code: "
                f"DiffusionPipeline.from_pretrained({str(folder)!r}, use_safetensors=False)"
                ".save_pretrained('<new directory>')"
            )


def _weights(folder: Path) -> list[str]:
    """Names of the weights, if every part has them in one precision only, and that is not 32 bits."""
    names = [file.name for file in folder.glob("*/*.safetensors")]
    whole = [name for name in names if not name.endswith((".fp16.safetensors", ".bf16.safetensors"))]
    return [] if whole else names


def _read_history(file: Path) -> tuple[AnsweredRequest, ...]:
    if not file.exists():
        return ()
    try:
        return _Entries.validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise MissingInput(
            f"{file}: {where}: {first['msg']}: restore the file, it says what the model has forgotten"
        ) from None
