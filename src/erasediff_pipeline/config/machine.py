"""How training uses the machine; results change by rounding only."""

from pydantic import Field

from erasediff_pipeline.config.base import Settings

READING = {"workers", "pin_memory"}
"""Settings that do not change any result; the others change rounding."""


class MachineSettings(Settings):
    """How ``pretrain`` and the pipelines of the methods train.

    A setting that needs an accelerator is ignored without one, with a message. ``deterministic`` holds for
    all of a run. Trials of ``compare``, audits and Blindspot's proxy use the defaults of the other settings.
    """

    compile: bool = False
    """Compile the denoiser (``torch.compile``); the first step takes a minute more. Needs an accelerator."""

    channels_last: bool = False
    """Keep weights and activations of convolutions in the ``NHWC`` layout, the one of tensor cores."""

    fused: bool = True
    """Update all weights in one kernel; for ``optimiser: adamw`` only."""

    workers: int = Field(0, ge=0)
    """Processes that read batches ahead, for each set of images; 0 reads in the training process."""

    pin_memory: bool = False
    """Read batches into page-locked memory, for faster copies to the accelerator. Needs an accelerator."""

    deterministic: bool = False
    """Use only kernels that give the same bytes each time. A CUDA operation without one is an error; every
    CPU operation has one."""
