"""Peak memory of a training, as Linux or CUDA counts it."""

import os
import re
import resource
from pathlib import Path

import torch

_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def reset_peak_memory() -> None:
    """Reset the peak, if Linux or CUDA allows it."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if os.access(_CLEAR_REFS, os.W_OK):
        _CLEAR_REFS.write_text("5")  # man 5 proc: resets VmHWM


def peak_memory(device: torch.device) -> int:
    """Peak bytes since the reset: allocated on a CUDA ``device``, else the resident size of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if _STATUS.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())[1]) * 1024  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
