"""Rank of this process under torchrun or accelerate."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # settings.py needs the rank, and accelerate takes seconds to import
    from accelerate import PartialState

TRAINING = "training"
"""Tag of a node that all processes run together."""


def rank() -> int:
    """Number of this process, counted over all machines; process 0 saves the results."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """Number of processes on all machines."""
    return int(os.environ.get("WORLD_SIZE", 1))


def process_state() -> "PartialState":
    """accelerate's state of this process; the first call waits for the other processes.

    A long wait is no error: the first process trains the classifier and evaluates while the others wait.
    """
    import torch
    from accelerate import PartialState

    if world_size() == 1:
        return PartialState()
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=30))
