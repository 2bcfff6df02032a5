"""What the machine is to do faster; what a training computes stays the same, up to rounding."""

from pydantic import Field

from erasediff_pipeline.config.base import Settings

READING = {"workers", "pin_memory"}
"""The settings that change nothing of what is computed; the others round otherwise."""


class MachineSettings(Settings):
    """How ``pretrain``, ``unlearn`` and the other methods' pipelines train.

    What needs an accelerator is left out without one, and the run says so. ``deterministic`` is for all that
    a run computes; trials of ``compare``, Blindspot's proxy and what audits train have the defaults of the
    rest.
    """

    compile: bool = False
    """Compile the denoiser (``torch.compile``). The first step takes a minute more; needs an accelerator."""

    channels_last: bool = False
    """Keep weights and activations of convolutions in the layout ``NHWC``, which tensor cores work in."""

    fused: bool = True
    """Take an optimiser step in one kernel for all weights; of ``adamw``."""

    workers: int = Field(0, ge=0)
    """Processes that read batches ahead, for each set of images; 0 reads in the training process."""

    pin_memory: bool = False
    """Read batches into page-locked memory, from which a copy to the accelerator is quicker; needs one."""

    deterministic: bool = False
    """Only kernels that give the same bytes each time: an operation on CUDA that has none is an error. On the
    CPU all have one."""
