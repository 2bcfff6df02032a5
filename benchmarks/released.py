"""The loop of the released code of arXiv 2401.05779, as far as that code runs."""

import copy
import gc
import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import (
    Noised,
    denoising_loss,
    drop_condition,
    noise_batch,
)
from erasediff_pipeline.seeding import make_generator
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.training.order import batch_rows
from erasediff_pipeline.unlearning.labels import draw_other_class, retained_classes

PASSES, INNER, OUTER = 8, 80, 36
LAMBDA, LEARNING_RATE, BATCH_SIZE, CONDITION_DROPOUT = 0.1, 1e-4, 128, 0.1


def released_passes(model: DiffusionModel, data: TrainingData) -> Iterator[float]:
    """Train ``model`` with the loop for CIFAR-10, and yield the seconds of each pass.

    80 inner steps lower the forget loss and are undone; 36 outer steps lower the retain loss plus 0.1 times
    the forget loss. One Adam serves both, and garbage is collected after every batch.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    classes = retained_classes(data, "released")
    generator = make_generator(0, "released")
    count = 0

    def batch(images: LabelledImages | None, stream: str) -> tuple[Noised, Tensor]:
        assert images is not None
        pixels, labels = images.tensors(batch_rows(len(images), BATCH_SIZE, count, 0, stream))
        return noise_batch(model, model.encode(pixels), generator), labels

    def forget_loss() -> Tensor:
        noised, labels = batch(data.forget, "forget")
        others = draw_other_class(labels, classes, generator)
        with torch.no_grad():
            target = model.denoise(noised.x_t, noised.t, model.condition(others))
        return mse_loss(model.denoise(noised.x_t, noised.t, model.condition(labels)), target)

    def retain_loss() -> Tensor:
        noised, labels = batch(data.retain, "retain")
        c = drop_condition(model, model.condition(labels), CONDITION_DROPOUT, generator)
        return denoising_loss(model, noised, c)

    def step(loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        gc.collect()

    for _ in range(PASSES):
        started = time.perf_counter()
        model.train()
        before = copy.deepcopy(model.state_dict())
        for _ in range(INNER):
            count += 1
            step(forget_loss())
        model.load_state_dict(before)
        for _ in range(OUTER):
            count += 1
            step(retain_loss() + LAMBDA * forget_loss())
        model.eval()
        yield time.perf_counter() - started
