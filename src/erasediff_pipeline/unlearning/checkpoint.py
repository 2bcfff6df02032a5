"""What a killed run needs to go on: weights, their running mean, the optimiser's moments, the step.

Neither random state nor data order is kept: both are functions of seed and step.
"""

import json
import os
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""AdamW's state for one parameter."""


def _flatten(
    parameters: dict[str, nn.Parameter], optimiser: Optimizer, ema: EMAModel | None
) -> dict[str, Tensor]:
    tensors = {f"weight/{name}": p.detach() for name, p in parameters.items()}
    for name, parameter in parameters.items():
        for moment in MOMENTS:
            tensors[f"{moment}/{name}"] = optimiser.state[parameter][moment]
    if ema:
        tensors |= {f"ema/{n}": s for n, s in zip(parameters, ema.shadow_params, strict=True)}
    return {key: tensor.contiguous() for key, tensor in tensors.items()}


def save_checkpoint(
    path: Path,
    step: int,
    fingerprint: str,
    history: list[dict[str, float]],
    evaluations: int,
    parameters: dict[str, nn.Parameter],
    optimiser: Optimizer,
    ema: EMAModel | None,
) -> None:
    """Write the state after ``step`` steps to a temporary file, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    metadata = {
        "step": str(step),
        "fingerprint": fingerprint,
        "history": json.dumps(history),
        "evaluations": str(evaluations),
    }
    try:
        save_file(_flatten(parameters, optimiser, ema), temporary, metadata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(
    path: Path,
    fingerprint: str,
    parameters: dict[str, nn.Parameter],
    optimiser: Optimizer,
    ema: EMAModel | None,
) -> tuple[int, list[dict[str, float]], int]:
    """Restore the state in place, if a checkpoint of this very run is there.

    Returns:
        Steps done, history and denoiser evaluations so far; zeros where there is nothing to go on
        from, which includes a checkpoint of another configuration.
    """
    if not path.exists():
        return 0, [], 0
    with safe_open(path, "pt") as saved:
        metadata = saved.metadata()
        if metadata["fingerprint"] != fingerprint:
            return 0, [], 0
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(saved.get_tensor(f"weight/{name}"))
                optimiser.state[parameter] = {
                    moment: saved.get_tensor(f"{moment}/{name}").to(
                        "cpu" if moment == "step" else parameter.device
                    )
                    for moment in MOMENTS
                }
    step = int(metadata["step"])
    if ema:
        with safe_open(path, "pt") as saved:
            ema.shadow_params = [
                saved.get_tensor(f"ema/{name}").to(p.device) for name, p in parameters.items()
            ]
        ema.optimization_step = step
    return step, json.loads(metadata["history"]), int(metadata["evaluations"])
