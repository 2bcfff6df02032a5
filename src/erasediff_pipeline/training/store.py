"""Results that a method computes once: a saliency mask, a Fisher diagonal, a proxy's weights."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from erasediff_pipeline.diffusion.model import Trainable
from erasediff_pipeline.files import atomic_file
from erasediff_pipeline.fingerprint import fingerprint
from erasediff_pipeline.ranks import rank

logger = logging.getLogger(__name__)
Tensors = dict[str, Tensor]


class FeatureStore:
    """A folder of safetensors files, one for each name: the result for the last requested inputs.

    Args:
        folder: Folder of the files; None keeps nothing.
        checkpoint: Name of a training within the preparation → path of its checkpoint; None writes none.
        version: Version of the method; results of another version are computed again.
        components: Components of ``fingerprint`` that the results depend on, besides ``training``.

    Attributes:
        reused_seconds: Wall time that earlier runs spent on reused results: a part of the method's cost.
    """

    def __init__(
        self,
        folder: Path | None = None,
        checkpoint: Callable[[str], Path] | None = None,
        version: int = 1,
        components: tuple[str, ...] = (),
    ):
        self.folder, self._checkpoint = folder, checkpoint
        self._version, self._components = version, components
        self.reused_seconds = 0.0

    def checkpoint(self, name: str) -> Path | None:
        """Path of the checkpoint of the training ``name``, a part of a preparation; None writes none."""
        return self._checkpoint(name) if self._checkpoint else None

    def once(
        self, name: str, model: Trainable, inputs: dict[str, Any], compute: Callable[[], Tensors]
    ) -> Tensors:
        """Read the result ``name`` if it was computed from the same inputs; otherwise compute and keep it.

        Args:
            name: Name of the file.
            model: ``compute`` raises its ``evaluations``; reuse raises them by as much.
            inputs: Everything that decides the result, as plain JSON.
            compute: Computes the tensors, on any device.

        Returns:
            The tensors by name, on the CPU. A file from other inputs, or a damaged one, is replaced.
        """
        versions = {"method": self._version}
        key = fingerprint("training", *self._components, versions=versions, name=name, **inputs)
        path = self.folder / f"{name}.safetensors" if self.folder else None
        if path and (kept := _read(path, key)):
            tensors, evaluations, seconds = kept
            model.count(evaluations)
            self.reused_seconds += seconds
            logger.info("%s: reused, its inputs are unchanged", path.name)
            return tensors
        started, before = time.perf_counter(), model.evaluations
        tensors = {k: v.detach().cpu().contiguous() for k, v in compute().items()}
        if path and rank() == 0:
            cost = {
                "evaluations": str(model.evaluations - before),
                "seconds": repr(time.perf_counter() - started),
            }
            with atomic_file(path) as temporary:
                save_file(tensors, temporary, {"inputs": key, **cost})
        return tensors


def _read(path: Path, key: str) -> tuple[Tensors, int, float] | None:
    """Tensors, evaluations and seconds of a file; None unless it is whole and from the inputs of ``key``."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as saved:
            metadata = saved.metadata() or {}
            if metadata.get("inputs") != key:
                return None
            tensors = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118
    except SafetensorError as error:
        logger.warning("%s is damaged (%s): computing it again", path, error)
        return None
    return tensors, int(metadata["evaluations"]), float(metadata["seconds"])
