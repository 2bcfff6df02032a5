"""The optimisers, by the names that ``TrainingSettings.optimiser`` gives them."""

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from erasediff_pipeline.errors import InvalidParameter, MissingInput

DEVICES_IN_8_BITS = ("cpu", "cuda", "xpu")
"""Where bitsandbytes has the step of ``AdamW8bit``."""


def optimiser_class(name: str, device: torch.device, key: str) -> Callable[..., Optimizer]:
    """The class, which takes parameters, ``lr`` and ``weight_decay``.

    Args:
        name: ``adamw``, or ``adamw_8bit``, which needs the extra of that name.
        device: Of the weights.
        key: Where the name comes from, for the message.

    Raises:
        InvalidParameter: Its step does not run on this device.
        MissingInput: It is not installed.
    """
    if name == "adamw":
        return AdamW
    if device.type not in DEVICES_IN_8_BITS:
        where = ", ".join(DEVICES_IN_8_BITS)
        raise InvalidParameter(f"{key}: {name!r} runs on {where}, not on {device.type}: choose 'adamw'")
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise MissingInput(
            f"{key}: {name!r} is not installed: pip install 'erasediff_pipeline[adamw_8bit]', "
            "or choose 'adamw'"
        ) from None
    return AdamW8bit


def lay_out_as_weights(parameters: Iterable[nn.Parameter]) -> None:
    """Give each gradient the strides of its weight, as the fused step takes for granted.

    Where they differ, as after some convolutions, that of the CPU (torch 2.14.1) steps each weight by another
    one's gradient, and says nothing; on CUDA it is an error (pytorch issue 106951).
    """
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is not None and gradient.stride() != parameter.stride():
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
