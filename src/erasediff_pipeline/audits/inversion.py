"""Inversion: is there an embedding that still brings a forgotten class back?"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from tensordict import TensorDict
from torch import Generator, Tensor

from erasediff_pipeline.config import InversionSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.embedded import Embedded, map_floats, spread_embeddings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.seeding import derive_seed, make_generator
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import TrainingData

DOUBLED = "doubled"
"""The control: if it finds more than the best start did, the search had not converged."""


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
    that element over the retained conditions (``spread_embeddings``). The best of these starts (the highest
    share, then the lowest loss) runs again with twice the steps.

    Args:
        model: The model under audit; its weights do not change.
        images: Forgotten images of one class, under the numbers of their conditions.
        retained: Numbers of the retained conditions, ``[N]`` int64.
        measure: Model → share of its samples that show the class, in [0, 1].
        settings: The budget of each start, and their number.
        seed: Seed of starts, batches and noise.
        checkpoint: Path of the checkpoint of a training.

    Returns:
        One row per start: ``start`` (``own``, ``random 1``, …, and ``DOUBLED``), ``loss`` at the end,
        ``forget_accuracy``.
    """

    def search(start: str, budget: InversionSettings) -> tuple[float, float]:
        attack = Embedded(model, starts[start])
        history, _ = train(
            attack,
            Denoising(budget),
            TrainingData(retain=images),
            budget,
            derive_seed(seed, "inversion", start),
            checkpoint,
            section="audit.inversion",
        )
        return history[-1]["loss"], measure(attack)

    starts = _list_starts(model, images, retained, settings.restarts, seed)
    rows = [(name, *search(name, settings)) for name in starts]
    best, _, _ = max(rows, key=lambda row: (row[2], -row[1]))
    rows.append((DOUBLED, *search(best, settings.model_copy(update={"steps": 2 * settings.steps}))))
    return pd.DataFrame(rows, columns=["start", "loss", "forget_accuracy"])


@torch.no_grad()
def _list_starts(
    model: DiffusionModel, images: LabelledImages, retained: Tensor, restarts: int, seed: int
) -> dict[str, TensorDict]:
    """The embeddings to start from, by name: the forgotten condition's, and random ones."""
    own = model.embed_condition(model.condition(torch.from_numpy(images.labels[:1].copy())))[0]
    table = spread_embeddings(model, retained, torch.from_numpy(images.labels[:1].copy()))
    starts = {"own": own}
    for number in range(1, restarts + 1):
        generator = make_generator(seed, "inversion start", number)

        def draw(_: Tensor, rows: Tensor, generator: Generator = generator) -> Tensor:
            noise = torch.randn(rows.shape[1:], generator=generator).to(rows.device)
            return rows.mean(dim=0) + rows.std(dim=0) * noise

        starts[f"random {number}"] = map_floats(draw, own, table)
    return starts
