"""A directory that ``from_pretrained`` loads: a pipeline or a single model, weights as safetensors."""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj

from erasediff_pipeline.files import atomic_directory

diffusers_logging.disable_progress_bar()  # it counts the parts of a pipeline, which load at once

HISTORY = "request_history.json"
"""What the model has forgotten, one entry a request; travels with the weights."""
NO_SAFETY_CHECKER = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
"""It would hide what the model draws, which is what is to be judged."""
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


def forget_origin(file: Path) -> None:
    """Drop the path that diffusers notes: the same model must be the same bytes in any folder."""
    config = json.loads(file.read_text())
    if config.pop("_name_or_path", None) is not None:
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def history_of(model: Any) -> list[dict[str, Any]]:
    """The requests that a model has answered, oldest first; none for a base model."""
    return getattr(model, "request_history", [])


class DiffusersDirectory(AbstractDataset[Any, Any]):
    """Load and save any object that has ``from_pretrained`` and ``save_pretrained``.

    Its ``request_history``, where it has one, is kept beside the weights.

    Args:
        filepath: The directory.
        loader: Dotted path of the class; ``diffusers.DiffusionPipeline`` takes the one that is noted there.
        half: Store the weights in half the space, as 16-bit floats; they are loaded as 32-bit ones again.
        metadata: Kept for plugins, not read here.
    """

    def __init__(
        self, filepath: str, loader: str, half: bool = False, metadata: dict[str, Any] | None = None
    ):
        self._filepath = Path(filepath)
        self._loader = loader
        self._half = half
        self.metadata = metadata

    def load(self) -> Any:
        pickles = [p.name for p in self._filepath.rglob("*") if p.suffix in PICKLES]
        if pickles:
            raise DatasetError(
                f"{self._filepath} holds {sorted(pickles)}: weights must be safetensors, never pickles. "
                "Delete them where safetensors stand beside them; else convert, where nothing can be lost: "
                f"DiffusionPipeline.from_pretrained('{self._filepath}', use_safetensors=False)"
                ".save_pretrained('<new directory>')"
            )
        options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
        if (self._filepath / "text_encoder").exists():
            # transformers would keep half precision where that is how the weights are stored
            options |= {"torch_dtype": torch.float32, **NO_SAFETY_CHECKER}
        loaded = load_obj(self._loader).from_pretrained(str(self._filepath), **options)
        history = self._filepath / HISTORY
        if history.exists():
            loaded.request_history = json.loads(history.read_text())
        return loaded

    def save(self, data: Any) -> None:
        if self._half:
            data = copy.deepcopy(data).to(torch.float16)
        with atomic_directory(self._filepath) as fresh:
            data.save_pretrained(str(fresh), safe_serialization=True)
            for file in fresh.rglob("*.json"):
                forget_origin(file)
            if history := history_of(data):
                (fresh / HISTORY).write_text(json.dumps(history, indent=2, sort_keys=True) + "\n")

    def _exists(self) -> bool:
        return any((self._filepath / name).exists() for name in ("model_index.json", "config.json"))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "loader": self._loader}
