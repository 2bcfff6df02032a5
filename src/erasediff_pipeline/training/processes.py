"""Several processes in one training: each takes its parts of every batch; all make the same step."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from erasediff_pipeline.config import TrainingSettings
from erasediff_pipeline.errors import UserError


class Share(NamedTuple):
    """The parts of each batch that one process takes."""

    mine: range
    """Numbers of this process's parts, from 0."""

    parts: int
    """Number of parts of a batch, over all processes."""

    def rows(self, batch_size: int) -> slice:
        """The rows of a batch that these parts cover."""
        size = batch_size // self.parts
        return slice(self.mine.start * size, self.mine.stop * size)


def share_of(accelerator: Accelerator, settings: TrainingSettings, name: str) -> Share:
    """Return this process's parts: the same number for each process, at least one.

    Args:
        accelerator: Number of processes, and the index of this one.
        settings: ``batch_size`` and ``accumulation`` are used.
        name: Key of the settings, for the message.

    Raises:
        InvalidParameter: The batch cannot be divided into so many parts.
    """
    parts = settings.parts_for(accelerator.num_processes, f"batch_size of {name}")
    each = parts // accelerator.num_processes
    first = accelerator.process_index * each
    return Share(range(first, first + each), parts)


def average(
    accelerator: Accelerator, parameters: Iterable[Tensor], scalars: dict[str, float]
) -> dict[str, float]:
    """Replace each gradient by its mean over all processes.

    Args:
        accelerator: Reduces over the processes.
        parameters: Those without a ``.grad`` are ignored.
        scalars: Scalars of this process, for the log.

    Returns:
        The means of ``scalars`` over all processes.
    """
    if accelerator.num_processes == 1:
        return scalars
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    logged = torch.tensor(list(scalars.values()), dtype=torch.float32, device=accelerator.device)
    # One message for all gradients: there are hundreds, most of them small.
    flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), logged])
    mean = accelerator.reduce(flat, reduction="mean").split([*(g.numel() for g in gradients), len(logged)])
    for gradient, averaged in zip(gradients, mean, strict=False):
        gradient.copy_(averaged.view(gradient.shape))
    return dict(zip(scalars, mean[-1].tolist(), strict=True))


def check_agreement(accelerator: Accelerator, name: str, fingerprint: str, done: int) -> None:
    """Refuse processes whose data, weights or progress differ.

    Args:
        accelerator: Gathers from the processes.
        name: Name of the method, for the message.
        fingerprint: Fingerprint of this process's run, see ``fingerprint_run``.
        done: Steps that this process has restored.

    Raises:
        UserError: They differ in data or weights, or would continue from different steps.
    """
    if accelerator.num_processes == 1:
        return
    gathered = gather_object([(fingerprint, done)])
    if len({fingerprint for fingerprint, _ in gathered}) > 1:
        raise UserError(f"{name}: the processes have read different models, images or parameters")
    if len({step for _, step in gathered}) > 1:
        steps = ", ".join(str(step) for _, step in gathered)
        raise UserError(
            f"{name}: the processes would continue from steps {steps}: put data/ on one file system"
        )
