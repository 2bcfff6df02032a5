"""The checkpoint of a training: weights, their running mean, optimiser, schedule, loss scale and progress.

It holds neither random state nor data order: both are functions of seed and step.
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
from torch.optim.lr_scheduler import LRScheduler

from erasediff_pipeline.config import MachineSettings, TrainingSettings
from erasediff_pipeline.config.machine import READING
from erasediff_pipeline.files import atomic_file
from erasediff_pipeline.fingerprint import fingerprint
from erasediff_pipeline.hashing import hash_images
from erasediff_pipeline.paths import relative
from erasediff_pipeline.training.gradients import LossScale
from erasediff_pipeline.training.method import M, Method, Scalars, TrainingData

logger = logging.getLogger(__name__)
FORMAT = 2
"""Version of the file's layout; a part of the fingerprint."""

_SHARED = ("qmap1", "qmap2")
"""Tables of the 8-bit optimiser: one tensor, which it lists in the state of every parameter."""


@dataclass(frozen=True)
class Progress:
    """The part of a training that is done."""

    step: int = 0
    """Steps done."""
    history: list[Scalars] = field(default_factory=list)
    """Points of the curves, logged so far."""
    evaluations: int = 0
    """Images that went through the denoiser in these steps, without the preparation."""
    seconds: float = 0.0
    """Wall time of these steps, over all runs that they took, without the preparation."""


@dataclass(frozen=True)
class State:
    """What the steps of a training change."""

    parameters: dict[str, nn.Parameter]
    """The weights that are trained, by name."""
    optimiser: Optimizer
    schedule: LRScheduler
    ema: EMAModel | None
    """Running mean of ``parameters``, if there is one."""
    scale: LossScale


def fingerprint_run(
    model: M,
    method: Method[M],
    data: TrainingData,
    settings: TrainingSettings,
    machine: MachineSettings,
    parts: int,
    seed: int,
) -> str:
    """SHA-256 of everything that decides a training's result.

    A run continues only from a checkpoint with the same fingerprint.

    Args:
        model: The model after ``method.prepare``.
        method: Its name and version are used; its parameters are in ``settings``.
        data: Images, labels and conditions of the request.
        settings: All settings of the training.
        machine: Settings of ``READING`` are ignored, since they change no result.
        parts: Number of parts of a batch, over all processes.
        seed: Top-level seed.
    """
    own = vars(type(method))  # not what it inherits: a subclass is another method
    return fingerprint(
        "training",
        *own.get("components", ()),
        versions={"checkpoint": FORMAT, method.name: own.get("version", 1)},
        method=method.name,
        seed=seed,
        settings=settings.model_dump(mode="json"),
        machine=machine.model_dump(mode="json", exclude=READING),
        parts=parts,
        model=model.fingerprint(),
        retain=hash_images(data.retain),
        forget=None if data.forget is None else hash_images(data.forget),
        unseen=None if data.unseen is None else hash_images(data.unseen),
        forgotten_before=list(data.forgotten_before),
        anchor=data.anchor,
    )


def read_fingerprint(path: Path) -> str | None:
    """Read the fingerprint of a checkpoint; None if the file is missing or damaged."""
    try:
        with safe_open(path, "pt") as saved:
            return (saved.metadata() or {}).get("fingerprint", "")
    except (FileNotFoundError, SafetensorError):
        return None


def save_checkpoint(path: Path, fingerprint: str, progress: Progress, state: State) -> None:
    """Write a checkpoint atomically; one of another run at ``path`` is kept as ``*.other.*``.

    Args:
        path: Where to write, unless this run's checkpoint has the other name.
        fingerprint: Fingerprint of this run.
        progress: Progress of the training.
        state: State to save.
    """
    groups = state.optimiser.param_groups
    values = {
        "progress": asdict(progress),
        "optimiser": [{key: value for key, value in group.items() if key != "params"} for group in groups],
        "schedule": state.schedule.state_dict(),
        "loss_scale": [state.scale.scale, state.scale.good_steps],
    }
    metadata = {"fingerprint": fingerprint, **{name: json.dumps(value) for name, value in values.items()}}
    place = _own_place(path, fingerprint)
    with atomic_file(place) as temporary:
        save_file(_tensors_of(state), temporary, metadata)
        if place == path:
            _keep_other(path, fingerprint)


def load_checkpoint(path: Path, fingerprint: str, state: State) -> Progress:
    """Restore ``state`` in place from this run's checkpoint, if there is one.

    Args:
        path: Path of the checkpoint.
        fingerprint: Fingerprint of this run.
        state: State before the first step.

    Returns:
        Progress of the training. It is zero if there is no checkpoint, or if it is damaged or belongs to
        another run, as the log then says.
    """
    place = next((p for p in (path, _other_path(path)) if read_fingerprint(p) == fingerprint), None)
    if place is None:
        if path.exists():
            reason = _mismatch_reason(path)
            logger.warning("%s %s: training starts from the beginning", relative(path), reason)
        return Progress()
    with safe_open(place, "pt") as saved:
        metadata = saved.metadata()
        tensors = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118
    values = {name: json.loads(text) for name, text in metadata.items() if name != "fingerprint"}
    progress = Progress(**values["progress"])
    _restore_tensors(state, tensors)
    if state.ema:
        state.ema.optimization_step = progress.step
    for group, kept in zip(state.optimiser.param_groups, values["optimiser"], strict=True):
        group.update({k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()})
    state.schedule.load_state_dict(values["schedule"])
    state.scale.scale, state.scale.good_steps = values["loss_scale"]
    return progress


def remove_checkpoint(path: Path, fingerprint: str) -> None:
    """Remove the checkpoint of a finished training, and damaged ones."""
    for place in (path, _other_path(path)):
        if read_fingerprint(place) in (None, fingerprint):
            place.unlink(missing_ok=True)


def _other_path(path: Path) -> Path:
    """Path of another configuration's checkpoint: a mistyped parameter must not cost hours of training."""
    return path.with_name(f"{path.stem}.other{path.suffix}")


def _mismatch_reason(path: Path) -> str:
    """Say why training does not continue from ``path``."""
    try:
        with safe_open(path, "pt"):
            return "belongs to another configuration and is kept for it"
    except SafetensorError as error:
        return f"is damaged ({error})"


def _own_place(path: Path, fingerprint: str) -> Path:
    """``path``, unless another run's checkpoint is there and this run's is under the other name."""
    other = _other_path(path)
    taken = read_fingerprint(path) not in (None, fingerprint)
    return other if taken and read_fingerprint(other) == fingerprint else path


def _keep_other(path: Path, fingerprint: str) -> None:
    """Rename another run's checkpoint; it replaces one that was kept before."""
    if read_fingerprint(path) not in (None, fingerprint):
        other = _other_path(path)
        logger.info("%s belongs to another configuration: kept as %s", relative(path), other.name)
        os.replace(path, other)


def _tensors_of(state: State) -> dict[str, Tensor]:
    """Weights, optimiser state and running mean, by kind and name."""
    tensors = {f"weight/{name}": p.detach() for name, p in state.parameters.items()}
    for name, parameter in state.parameters.items():
        for key, value in state.optimiser.state[parameter].items():
            tensor = torch.as_tensor(value)  # the step may be a plain number
            tensors[f"{key}/{name}"] = tensor.clone() if key in _SHARED else tensor
    if state.ema:
        shadows = zip(state.parameters, state.ema.shadow_params, strict=True)
        tensors |= {f"ema/{name}": shadow for name, shadow in shadows}
    return {key: tensor.contiguous() for key, tensor in tensors.items()}


@torch.no_grad()
def _restore_tensors(state: State, tensors: dict[str, Tensor]) -> None:
    fused = bool(state.optimiser.defaults.get("fused"))
    for key, tensor in tensors.items():
        kind, name = key.split("/", 1)
        parameter = state.parameters[name]
        if kind == "weight":
            parameter.copy_(tensor)
        elif kind != "ema":
            state.optimiser.state[parameter][kind] = _optimiser_value(kind, tensor, parameter, fused)
    if state.ema:
        state.ema.shadow_params = [tensors[f"ema/{n}"].to(p.device) for n, p in state.parameters.items()]


def _optimiser_value(kind: str, tensor: Tensor, parameter: Tensor, fused: bool) -> Tensor | int:
    """One entry of a parameter's optimiser state, as the optimiser had it.

    AdamW's step is a float tensor, on the CPU unless ``fused``; the 8-bit optimiser's is a plain number. A
    moment has the memory layout of its weight.
    """
    if kind != "step":
        if tensor.shape != parameter.shape:
            return tensor.to(parameter.device)
        return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
    if not tensor.is_floating_point():
        return int(tensor)
    return tensor.to(parameter.device) if fused else tensor
