"""Rank of this process under torchrun or accelerate."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # settings.py needs the rank, and accelerate takes seconds to import
    from accelerate import PartialState

TRAINING = "training"
"""Tag of a node that all processes run together."""


TOGETHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
"""Variables of the environment by which a process knows of the others; torchrun sets all of them."""
RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT")
"""Where they meet."""


def rank() -> int:
    """Number of this process, counted over all machines; process 0 saves the results."""
    return 0 if explain_leftovers() else int(os.environ.get("RANK", 0))


def world_size() -> int:
    """Number of processes on all machines."""
    return 1 if explain_leftovers() else int(os.environ.get("WORLD_SIZE", 1))


def explain_leftovers() -> str | None:
    """Say why this environment is not that of processes that belong together; None if it may be.

    A variable that is left over in a shell, from Slurm or an old torchrun, would make this process write
    half a result, or wait for others that do not exist.
    """
    given = {name: os.environ[name] for name in TOGETHER if name in os.environ}
    said = ", ".join(f"{name}={value}" for name, value in given.items())
    remedy = f"start with torchrun, or `unset {' '.join(given)}`"
    if not all(value.isdecimal() for value in given.values()):
        return f"{said}: expected whole numbers: {remedy}"
    numbers = {name: int(value) for name, value in given.items()}
    size = numbers.get("WORLD_SIZE", 1)
    if numbers.get("RANK", 0) >= size or numbers.get("LOCAL_RANK", 0) >= size:
        return f"{said}: expected a rank below WORLD_SIZE, {size}: {remedy}"
    absent = [name for name in (*TOGETHER[:2], *RENDEZVOUS) if name not in os.environ]
    if size > 1 and absent:
        return f"{said}: {size} processes, but {' and '.join(absent)} not set: {remedy}"
    return None


def process_state() -> "PartialState":
    """accelerate's state of this process; the first call waits for the other processes.

    A long wait is no error: the first process trains the classifier and evaluates while the others wait.
    """
    import torch
    from accelerate import PartialState

    if world_size() == 1:
        return PartialState()
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=30))
