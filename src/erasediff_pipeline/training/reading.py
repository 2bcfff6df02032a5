"""Batches in the order of the steps: read, ahead of time if asked, and encoded."""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from erasediff_pipeline.config import MachineSettings, TrainingSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import Trainable
from erasediff_pipeline.seeding import make_generator
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.order import batch_rows
from erasediff_pipeline.training.processes import Share


class _BatchOfStep(Dataset):
    """Step → this process's share of the images of that step, and their labels."""

    def __init__(self, images: LabelledImages, batch_size: int, share: Share, seed: int, stream: str):
        self.images, self.batch_size, self.share = images, batch_size, share
        self.seed, self.stream = seed, stream

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        rows = batch_rows(len(self.images), self.batch_size, step, self.seed, self.stream)
        return self.images.tensors(rows[self.share.rows(self.batch_size)])


def read_batches(
    images: LabelledImages,
    settings: TrainingSettings,
    machine: MachineSettings,
    share: Share,
    steps: range,
    seed: int,
    stream: str,
) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's share of each step's batch.

    Args:
        images: The set to draw from.
        settings: ``batch_size`` is used.
        machine: ``workers`` and ``pin_memory`` are used.
        share: The parts that this process takes.
        steps: Numbers of the steps to read for.
        seed: Seed of the order.
        stream: Name of the set; sets of different names are read in different orders.

    Yields:
        Images ``[N, C, H, W]`` uint8 and labels ``[N]`` int64, one pair per step.
    """
    loader = DataLoader(
        _BatchOfStep(images, settings.batch_size, share, seed, stream),
        batch_size=None,
        sampler=steps,  # type: ignore[arg-type]
        num_workers=machine.workers,
        pin_memory=machine.pin_memory,
        generator=Generator(),  # the seed of the workers must not come from the global generator
    )
    return iter(loader)


def encode_batches(
    model: Trainable,
    data: TrainingData,
    settings: TrainingSettings,
    machine: MachineSettings,
    share: Share,
    steps: range,
    seed: int,
) -> Iterator[tuple[Batch | None, Batch]]:
    """Yield this process's share of each step's forget and retain batch, encoded by ``model``.

    Args:
        model: Encodes the images; its device gets the batches.
        data: The retain set and, for unlearning, the forget set.
        settings: ``batch_size`` is used.
        machine: ``workers`` and ``pin_memory`` are used.
        share: The parts that this process takes.
        steps: Numbers of the steps to read for.
        seed: Seed of the order, and of the conditions forgotten before.

    Yields:
        The forget batch, None without a forget set, and the retain batch: x0 ``[N, …]`` float and labels
        ``[N]`` int64, N the size of this process's share.
    """
    options = (settings, machine, share, steps, seed)
    nothing = itertools.repeat(None, len(steps))
    forgotten = read_batches(data.forget, *options, "forget") if data.forget else nothing
    retained = read_batches(data.retain, *options, "retain")
    for step, read, (images, labels) in zip(steps, forgotten, retained, strict=True):
        forget = Batch(model.encode(read[0]), read[1].to(model.device)) if read else None
        retain = Batch(model.encode(images), labels.to(model.device))
        if data.forgotten_before:
            drawn = draw_forgotten_before(data.forgotten_before, settings.batch_size, seed, step)
            mine = drawn[share.rows(settings.batch_size)].to(model.device)
            retain = retain._replace(forgotten_before=mine)
        yield forget, retain


def draw_forgotten_before(classes: Sequence[int], batch_size: int, seed: int, step: int) -> Tensor:
    """Draw one of ``classes`` uniformly for each image of a batch, ``[batch_size]`` int64."""
    generator = make_generator(seed, "before", step)
    return torch.tensor(classes)[torch.randint(len(classes), (batch_size,), generator=generator)]
