"""Inversion: is there an embedding that still brings a forgotten class back?"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from erasediff_pipeline.config import InversionSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.embedded import Embedded, spread_embeddings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.seeding import derive_seed, make_generator
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import TrainingData


def invert(
    model: DiffusionModel,
    images: LabelledImages,
    retained: Tensor,
    measure: Callable[[DiffusionModel], float],
    settings: InversionSettings,
    seed: int,
    checkpoint: Path,
) -> pd.DataFrame:
    """Search for the embedding under which the model denoises the forgotten images best, by gradients.

    min over e of E‖ε − ε_θ(x_t, t, e)‖², textual inversion (arXiv 2208.01618, equation 2), as the attack of
    arXiv 2308.01508. It starts once from the embedding of the forgotten condition, and several times from
    random ones: each element is drawn from a normal distribution with the mean and the standard deviation of
    that element over the retained conditions (``spread_embeddings``).

    Args:
        model: The model under audit; its weights do not change.
        images: Forgotten images of one class, under the numbers of their conditions.
        retained: Numbers of the retained conditions, ``[N]`` int64.
        measure: Model → share of its samples that show the class, in [0, 1].
        settings: The budget: restarts and steps.
        seed: Seed of starts, batches and noise.
        checkpoint: Path of the checkpoint of a training.

    Returns:
        One row per start: ``start`` (``own``, ``random 1``, …), ``loss`` at the end, ``forget_accuracy``.
    """
    rows = []
    for name, start in _list_starts(model, images, retained, settings.restarts, seed).items():
        attack = Embedded(model, start)
        history, _ = train(
            attack,
            Denoising(settings),
            TrainingData(retain=images),
            settings,
            derive_seed(seed, "inversion", name),
            checkpoint,
            section="audit.inversion",
        )
        rows.append((name, history[-1]["loss"], measure(attack)))
    return pd.DataFrame(rows, columns=["start", "loss", "forget_accuracy"])


@torch.no_grad()
def _list_starts(
    model: DiffusionModel, images: LabelledImages, retained: Tensor, restarts: int, seed: int
) -> dict[str, Tensor]:
    """The embeddings to start from, by name: the forgotten condition's, and random ones."""
    own = model.embed_condition(model.condition(torch.from_numpy(images.labels[:1].copy())))[0]
    table = spread_embeddings(model, retained, torch.from_numpy(images.labels[:1].copy()))
    mean, std = table.mean(dim=0), table.std(dim=0)
    starts = {"own": own}
    for number in range(1, restarts + 1):
        generator = make_generator(seed, "inversion start", number)
        starts[f"random {number}"] = mean + std * torch.randn(mean.shape, generator=generator).to(mean.device)
    return starts
