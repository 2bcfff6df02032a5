"""Several processes around one training: each takes its parts of every batch, and all take the same step."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from erasediff_pipeline.config import TrainingSettings
from erasediff_pipeline.errors import UserError


class Share(NamedTuple):
    """What one process takes of each batch."""

    mine: range
    """Numbers of its parts."""

    parts: int
    """How many parts a batch has, over all processes."""

    def rows(self, batch_size: int) -> slice:
        """Which images of a batch these parts are."""
        size = batch_size // self.parts
        return slice(self.mine.start * size, self.mine.stop * size)


def share_of(accelerator: Accelerator, settings: TrainingSettings, name: str) -> Share:
    """This process's parts: as many for each, at least one.

    Raises:
        InvalidParameter: The batch cannot be divided so.
    """
    parts = settings.parts_for(accelerator.num_processes, f"batch_size of {name}")
    each = parts // accelerator.num_processes
    first = accelerator.process_index * each
    return Share(range(first, first + each), parts)


def average(
    accelerator: Accelerator, parameters: Iterable[Tensor], scalars: dict[str, float]
) -> dict[str, float]:
    """Put the mean over all processes in place of each gradient; return that of what is logged."""
    if accelerator.num_processes == 1:
        return scalars
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    logged = torch.tensor(list(scalars.values()), dtype=torch.float32, device=accelerator.device)
    # One message for all of them: there are hundreds, most of them small.
    flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), logged])
    mean = accelerator.reduce(flat, reduction="mean").split([*(g.numel() for g in gradients), len(logged)])
    for gradient, of_all in zip(gradients, mean, strict=False):
        gradient.copy_(of_all.view(gradient.shape))
    return dict(zip(scalars, mean[-1].tolist(), strict=True))


def check_agreement(accelerator: Accelerator, name: str, fingerprint: str, done: int) -> None:
    """Refuse processes that would train different things.

    Raises:
        UserError: They have other data or weights, or go on from another step.
    """
    if accelerator.num_processes == 1:
        return
    told = gather_object([(fingerprint, done)])
    if len({fingerprint for fingerprint, _ in told}) > 1:
        raise UserError(f"{name}: the processes have read different models, images or parameters")
    if len({step for _, step in told}) > 1:
        steps = ", ".join(str(step) for _, step in told)
        raise UserError(f"{name}: the processes go on from steps {steps}: data/ must be one file system")
