"""Precision, compilation and memory layout, as device and settings allow."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from erasediff_pipeline.config import MachineSettings, TrainingSettings
from erasediff_pipeline.diffusion.model import Trainable
from erasediff_pipeline.ranks import process_state

logger = logging.getLogger(__name__)


def start_accelerator(
    settings: TrainingSettings, machine: MachineSettings
) -> tuple[Accelerator, MachineSettings]:
    """Return accelerate's view of this process, and the ``machine`` settings that its device supports."""
    AcceleratorState._reset_state()  # accelerate allows one precision per process; trainings may differ
    machine, precision = fit_to(process_state().device, machine, settings)
    return Accelerator(mixed_precision=precision), machine


def fit_to(
    device: torch.device, machine: MachineSettings, settings: TrainingSettings
) -> tuple[MachineSettings, str]:
    """Return the settings that ``device`` supports, and the precision of a forward pass.

    The log names ignored settings. A CPU computes in bf16; fp16 would be far too slow there.
    """
    precision = settings.mixed_precision
    if device.type != "cpu":
        return machine, precision
    unsupported = [name for name in ("compile", "pin_memory") if getattr(machine, name)]
    ignored = [f"machine.{name}" for name in unsupported]
    if precision == "fp16":
        ignored.append("mixed_precision: fp16")
    if ignored:
        logger.warning("%s: ignored, there is no accelerator", ", ".join(ignored))
    kept = machine.model_copy(update=dict.fromkeys(unsupported, False))
    return kept, "no" if precision == "fp16" else precision


def choose_kernels(machine: MachineSettings) -> None:
    """Allow deterministic kernels only, or any again; call this before the first use of CUDA."""
    if machine.deterministic:
        # cuBLAS requires it, and reads it once.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(machine.deterministic)


@contextmanager
def accelerated(model: Trainable, machine: MachineSettings) -> Iterator[None]:
    """Compile the model's parts and change their memory layout as the settings say, then undo both."""
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
