"""What a killed run needs to go on: weights, their running mean, the optimiser's moments, the step.

Neither random state nor data order is kept: both are functions of seed and step.
"""

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from erasediff_pipeline.paths import relative

logger = logging.getLogger(__name__)
SHARED = ("qmap1", "qmap2")
"""What the 8-bit optimiser notes for each parameter as one and the same tensor."""


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    step: int = 0
    """Steps done."""
    history: list[dict[str, float]] = field(default_factory=list)
    """The logged points so far."""
    evaluations: int = 0
    """Images through the denoiser so far."""
    seconds: float = 0.0
    """Wall time of these steps, in all the runs that they took; without the preparation."""
    loss_scale: float = 1.0
    """S of ``LossScale``."""
    good_steps: int = 0
    """Steps since S has last changed."""


def beside(path: Path) -> Path:
    """Where the checkpoint of another configuration waits: a mistyped parameter must not cost its hours."""
    return path.with_name(f"{path.stem}.other{path.suffix}")


def whose(path: Path) -> str | None:
    """The fingerprint of a checkpoint; None where there is none that can be read."""
    try:
        with safe_open(path, "pt") as saved:
            return (saved.metadata() or {}).get("fingerprint", "")
    except (FileNotFoundError, SafetensorError):
        return None


def why_not(path: Path) -> str:
    """Why training does not go on from there, in words."""
    try:
        with safe_open(path, "pt"):
            return "is of another configuration, and kept for it"
    except SafetensorError as error:
        return f"is damaged ({error})"


def make_way(path: Path, fingerprint: str) -> Path:
    """Where this run's belongs; one of another configuration takes the place of the one that waits."""
    if whose(path) in (None, fingerprint):
        return path
    if whose(beside(path)) == fingerprint:
        return beside(path)
    logger.info("%s, of another configuration, is kept as %s", relative(path), beside(path).name)
    os.replace(path, beside(path))
    return path


def remove_checkpoint(path: Path, fingerprint: str) -> None:
    """At the end of a training: its own, wherever it is, and a damaged one."""
    for place in (path, beside(path)):
        if whose(place) in (None, fingerprint):
            place.unlink(missing_ok=True)


def _flatten(
    parameters: dict[str, nn.Parameter], optimiser: Optimizer, ema: EMAModel | None
) -> dict[str, Tensor]:
    tensors = {f"weight/{name}": p.detach() for name, p in parameters.items()}
    for name, parameter in parameters.items():
        for key, value in optimiser.state[parameter].items():
            tensor = torch.as_tensor(value)  # the step may be a plain number
            tensors[f"{key}/{name}"] = tensor.clone() if key in SHARED else tensor
    if ema:
        tensors |= {f"ema/{n}": s for n, s in zip(parameters, ema.shadow_params, strict=True)}
    return {key: tensor.contiguous() for key, tensor in tensors.items()}


def save_checkpoint(
    path: Path,
    fingerprint: str,
    progress: Progress,
    parameters: dict[str, nn.Parameter],
    optimiser: Optimizer,
    ema: EMAModel | None,
) -> None:
    """Write the state to a temporary file, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    metadata = {"fingerprint": fingerprint, "progress": json.dumps(asdict(progress))}
    try:
        save_file(_flatten(parameters, optimiser, ema), temporary, metadata)
        os.replace(temporary, make_way(path, fingerprint))
    finally:
        temporary.unlink(missing_ok=True)


def _state(kind: str, tensor: Tensor, parameter: Tensor, fused: bool) -> Tensor | int:
    """As the optimiser had it.

    AdamW's step is a float tensor, on the CPU unless ``fused``, the 8-bit one's a plain number; a moment has
    the layout of its weight.
    """
    if kind != "step":
        if tensor.shape != parameter.shape:
            return tensor.to(parameter.device)
        return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
    if not tensor.is_floating_point():
        return int(tensor)
    return tensor.to(parameter.device) if fused else tensor


def load_checkpoint(
    path: Path,
    fingerprint: str,
    parameters: dict[str, nn.Parameter],
    optimiser: Optimizer,
    ema: EMAModel | None,
) -> Progress:
    """Restore the state in place, if a checkpoint of this very run is there.

    Returns:
        How far it has come; nowhere, where there is nothing to go on from, which includes a damaged
        checkpoint and one of another configuration: the log names it.
    """
    place = next((p for p in (path, beside(path)) if whose(p) == fingerprint), None)
    if place is None:
        if path.exists():
            logger.warning("%s %s: training starts anew", relative(path), why_not(path))
        return Progress()
    with safe_open(place, "pt") as saved:
        metadata = saved.metadata()
        with torch.no_grad():
            for key in saved.keys():  # noqa: SIM118
                kind, name = key.split("/", 1)
                parameter = parameters[name]
                if kind == "weight":
                    parameter.copy_(saved.get_tensor(key))
                elif kind != "ema":
                    fused = bool(optimiser.defaults.get("fused"))
                    state = _state(kind, saved.get_tensor(key), parameter, fused)
                    optimiser.state[parameter][kind] = state
    progress = Progress(**json.loads(metadata["progress"]))
    if ema:
        with safe_open(place, "pt") as saved:
            ema.shadow_params = [
                saved.get_tensor(f"ema/{name}").to(p.device) for name, p in parameters.items()
            ]
        ema.optimization_step = progress.step
    return progress
