"""Load and save pipelines and single models: safetensors only, the same bytes for the same model."""

import copy
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from erasediff_pipeline.data.request import AnsweredRequest
from erasediff_pipeline.diffusion.models.registry import FAMILIES
from erasediff_pipeline.errors import MissingInput, in_one_line
from erasediff_pipeline.files import atomic_directory, atomic_file
from erasediff_pipeline.paths import relative

diffusers_logging.disable_progress_bar()  # it counts the parts of a pipeline, which load at once

HISTORY = "request_history.json"
"""What the model has forgotten, one entry per request; saved beside the weights."""
HISTORY_SHA256 = "request_history_sha256"
"""Key in the metadata of the denoiser's safetensors: the SHA-256 of that file."""
TRAINED_ON = "train_set_sha256"
"""Key in the same place: the SHA-256 of the images that the base model was trained on."""
CARD = "README.md"
SAFETY = ("safety_checker", "feature_extractor", "requires_safety_checker")
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_Entries = TypeAdapter(Annotated[tuple[AnsweredRequest, ...], Field(min_length=1)])


@dataclass(frozen=True)
class ModelWithHistory:
    """A pipeline, and the requests that it has answered."""

    pipeline: DiffusionPipeline
    history: tuple[AnsweredRequest, ...] = ()
    """Oldest first; empty for a base model."""

    trained_on: str | None = None
    """SHA-256 of the training images of the base model, see ``hash_train_set``; None if nobody knows them."""


def load_model(folder: Path) -> ModelWithHistory:
    """Load a pipeline with its request history, in 32 bits, from local files.

    Raises:
        MissingInput: The folder holds pickled weights, or a file of it is missing or damaged; or its request
            history is damaged, not the one that the weights were saved with, or missing although the
            weights or the model card name one.
    """
    refuse_pickles(folder)
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    options |= {"dtype": torch.float32, **dict.fromkeys(_left_out(folder))}
    if variants := {name.split(".")[-2] for name in _weights(folder)} & {"fp16", "bf16"}:
        options["variant"] = min(variants)  # there are no others
    try:
        pipeline = DiffusionPipeline.from_pretrained(str(folder), **options)
    except Exception as error:  # diffusers, transformers and safetensors raise many kinds
        said = in_one_line(error)
        raise MissingInput(f"{folder}: cannot be loaded: {said}: restore it, or download it again") from error
    denoiser = folder / _denoiser_of(pipeline)
    noted = [_read_metadata(file) for file in sorted(denoiser.glob("*.safetensors"))]
    trained_on = next((found[TRAINED_ON] for found in noted if TRAINED_ON in found), None)
    return ModelWithHistory(pipeline, _read_history(folder, noted), trained_on)


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
        noted = {} if model.trained_on is None else {TRAINED_ON: model.trained_on}
        if model.history:
            entries = [entry.to_json() for entry in model.history]
            content = (json.dumps(entries, indent=2, sort_keys=True) + "\n").encode()
            (fresh / HISTORY).write_bytes(content)
            noted[HISTORY_SHA256] = hashlib.sha256(content).hexdigest()
        if noted:
            for file in (fresh / _denoiser_of(pipeline)).glob("*.safetensors"):
                add_metadata(file, noted)


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


def _denoiser_of(pipeline: DiffusionPipeline) -> str:
    """Name of the part that is trained; its weights carry the notes on the model."""
    family = FAMILIES.get(type(pipeline))
    return family.denoiser_name if family else "unet"


def _left_out(folder: Path) -> list[str]:
    """Parts that the pipeline was saved without, and a safety checker: it hides images that must be seen."""
    try:
        index = json.loads((folder / "model_index.json").read_text())
    except (OSError, ValueError):
        return []  # diffusers says what is wrong with it
    return [name for name, part in index.items() if part == [None, None] or name in SAFETY]


def _weights(folder: Path) -> list[str]:
    """Names of the weights, if every part has them in one precision only, and that is not 32 bits."""
    names = [file.name for file in folder.glob("*/*.safetensors")]
    whole = [name for name in names if not name.endswith((".fp16.safetensors", ".bf16.safetensors"))]
    return [] if whole else names


def _read_history(folder: Path, noted: list[dict[str, str]]) -> tuple[AnsweredRequest, ...]:
    """Read the history; ``noted`` is the metadata of the weights: in earlier versions without its hash."""
    file, card = folder / HISTORY, folder / CARD
    remedy = "restore the file, which says what the model has forgotten, or make the model again"
    bound = {found.get(HISTORY_SHA256) for found in noted}
    if not file.exists():
        named = card.exists() and HISTORY in card.read_text(errors="replace")
        if named or bound - {None}:
            by = CARD if named else "the metadata of the weights"
            raise MissingInput(f"{relative(file)} is missing, but {by} names it: {remedy}")
        return ()
    content = file.read_bytes()
    try:
        history = _Entries.validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise MissingInput(f"{relative(file)}: {where}: {first['msg']}: {remedy}") from None
    if bound - {None, hashlib.sha256(content).hexdigest()}:
        raise MissingInput(f"{relative(file)} is not the one that the weights were saved with: {remedy}")
    return history


def _read_metadata(file: Path) -> dict[str, str]:
    try:
        with safe_open(file, "pt") as weights:
            return weights.metadata() or {}
    except SafetensorError:  # of another precision, which is not loaded
        return {}


def add_metadata(file: Path, noted: dict[str, str]) -> None:
    """Add to the metadata of a safetensors file; the tensors are copied as they are.

    ``safetensors`` would read all of them, and write the metadata in any order.
    """
    with file.open("rb") as source, atomic_file(file) as fresh, fresh.open("wb") as target:
        header = json.loads(source.read(int.from_bytes(source.read(8), "little")))
        header["__metadata__"] = {**header.get("__metadata__", {}), **noted}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # keeps the tensors aligned
        target.write(len(text).to_bytes(8, "little") + text)
        shutil.copyfileobj(source, target)
