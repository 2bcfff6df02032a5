"""Batches, read in the order of the steps, ahead of them if need be."""

from collections.abc import Iterator

from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from erasediff_pipeline.config import MachineSettings, TrainingSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.training.order import batch_rows
from erasediff_pipeline.training.processes import Share


class BatchOfStep(Dataset):
    """Step → the images of that step that are this process's, and their labels."""

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
    """Images ``[N, C, H, W]`` uint8 and labels ``[N]`` int64, one pair a step."""
    loader = DataLoader(
        BatchOfStep(images, settings.batch_size, share, seed, stream),
        batch_size=None,
        sampler=steps,  # type: ignore[arg-type]
        num_workers=machine.workers,
        pin_memory=machine.pin_memory,
        generator=Generator(),  # the loader draws a seed for its workers, which do not draw: not from ours
    )
    return iter(loader)
