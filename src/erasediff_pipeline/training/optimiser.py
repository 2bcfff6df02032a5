"""Optimisers by the names in ``TrainingSettings.optimiser``, and schedules of the learning rate."""

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from erasediff_pipeline.config import TrainingSettings
from erasediff_pipeline.errors import InvalidParameter, MissingInput

DEVICES_IN_8_BITS = ("cpu", "cuda", "xpu")
"""Types of devices for which bitsandbytes implements ``AdamW8bit``."""


def optimiser_class(name: str, device: torch.device, key: str) -> Callable[..., Optimizer]:
    """The class of an optimiser; it takes parameters, ``lr`` and ``weight_decay``.

    Args:
        name: ``adamw``, or ``adamw_8bit``, which needs the extra of that name.
        device: Device of the weights.
        key: Parameter that gives the name, for messages.

    Raises:
        InvalidParameter: The optimiser does not run on this device.
        MissingInput: It is not installed.
    """
    if name == "adamw":
        return AdamW
    if device.type not in DEVICES_IN_8_BITS:
        devices = ", ".join(DEVICES_IN_8_BITS)
        raise InvalidParameter(f"{key}: {name!r} runs on {devices}, not on {device.type}: choose 'adamw'")
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise MissingInput(
            f"{key}: {name!r} is not installed: pip install 'erasediff_pipeline[adamw_8bit]', "
            "or choose 'adamw'"
        ) from None
    return AdamW8bit


def build_schedule(optimiser: Optimizer, settings: TrainingSettings) -> LRScheduler:
    """The learning rate as a function of the step: ``constant``, or ``one_cycle`` (arXiv 1708.07120)."""
    if settings.schedule == "one_cycle":
        return OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps + 1)
    return LambdaLR(optimiser, lambda step: 1.0)


def match_layouts(parameters: Iterable[nn.Parameter]) -> None:
    """Give each gradient the strides of its weight, which the fused step requires.

    After some convolutions they differ. Then the fused step on the CPU (torch 2.14.1) updates weights with
    the gradients of others, without an error; on CUDA it is an error (pytorch issue 106951).
    """
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is not None and gradient.stride() != parameter.stride():
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
