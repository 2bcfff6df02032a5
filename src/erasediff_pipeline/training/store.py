"""What a method computes once: a saliency mask, a Fisher diagonal, a proxy's weights."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from erasediff_pipeline.diffusion.model import Trainable
from erasediff_pipeline.ranks import rank

logger = logging.getLogger(__name__)
Tensors = dict[str, Tensor]


class FeatureStore:
    """A folder of safetensors, one file a name: the last one that was asked for.

    Args:
        folder: Where they are kept; None keeps nothing.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder
        self.reused_seconds = 0.0
        """Wall time that earlier runs have spent on what was reused: part of a method's cost all the same."""

    def once(
        self, name: str, model: Trainable, inputs: dict[str, Any], compute: Callable[[], Tensors]
    ) -> Tensors:
        """Read ``name`` where it was computed from the same inputs, else compute and keep it.

        Args:
            name: Of the file.
            model: Whose ``evaluations`` ``compute`` raises; on reuse they are raised as much.
            inputs: Plain JSON: everything that decides the result.
            compute: Makes the tensors, on any device.

        Returns:
            The tensors by name, on the CPU. A file of other inputs, or a damaged one, is replaced.
        """
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        path = self.folder / f"{name}.safetensors" if self.folder else None
        if path and (kept := read(path, key)):
            tensors, evaluations, seconds = kept
            model.evaluations += evaluations
            self.reused_seconds += seconds
            logger.info("%s: reused, its inputs are the same", path.name)
            return tensors
        started, before = time.perf_counter(), model.evaluations
        tensors = {k: v.detach().cpu().contiguous() for k, v in compute().items()}
        if path and rank() == 0:
            cost = {
                "evaluations": str(model.evaluations - before),
                "seconds": repr(time.perf_counter() - started),
            }
            write(path, tensors, {"inputs": key, **cost})
        return tensors


def read(path: Path, key: str) -> tuple[Tensors, int, float] | None:
    """Tensors, evaluations and seconds of a file, if it is whole and of these inputs."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as saved:
            metadata = saved.metadata() or {}
            if metadata.get("inputs") != key:
                return None
            tensors = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118
    except SafetensorError as error:
        logger.warning("%s is damaged (%s): computed anew", path, error)
        return None
    return tensors, int(metadata["evaluations"]), float(metadata["seconds"])


def write(path: Path, tensors: Tensors, metadata: dict[str, str]) -> None:
    """To a temporary file, then renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    try:
        save_file(tensors, temporary, metadata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
