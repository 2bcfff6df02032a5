"""What a machine with an accelerator does faster, and back again: the weights that are kept are as ever."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from erasediff_pipeline.config import MachineSettings, TrainingSettings
from erasediff_pipeline.diffusion.model import Trainable

logger = logging.getLogger(__name__)


def fit_to(
    device: torch.device, machine: MachineSettings, settings: TrainingSettings
) -> tuple[MachineSettings, str]:
    """What of all that is asked for this device can do, and the precision of a forward pass.

    What is left out is logged. bf16 stays: the CPU computes in it, too; fp16 there is far too slow.
    """
    precision = settings.mixed_precision
    if device.type != "cpu":
        return machine, precision
    unable = [name for name in ("compile", "pin_memory") if getattr(machine, name)]
    left_out = [f"machine.{name}" for name in unable]
    if precision == "fp16":
        left_out.append("mixed_precision: fp16")
    if left_out:
        logger.warning("%s: left out, there is no accelerator", ", ".join(left_out))
    kept = machine.model_copy(update=dict.fromkeys(unable, False))
    return kept, "no" if precision == "fp16" else precision


def choose_kernels(machine: MachineSettings) -> None:
    """Let this process use deterministic kernels only, or any again; before the first use of CUDA."""
    if machine.deterministic:
        os.environ.setdefault(
            "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
        )  # cuBLAS refuses without, and reads it once
    torch.use_deterministic_algorithms(machine.deterministic)


@contextmanager
def accelerated(model: Trainable, machine: MachineSettings) -> Iterator[None]:
    """In here, the model's parts are compiled and in the layout that the settings ask for."""
    if machine.channels_last:
        model.to(memory_format=torch.channels_last)
    if machine.compile:
        for part in model.children():
            part.compile()
    try:
        yield
    finally:
        if machine.compile:
            for part in model.children():
                part._compiled_call_impl = None
        if machine.channels_last:
            model.to(memory_format=torch.contiguous_format)
