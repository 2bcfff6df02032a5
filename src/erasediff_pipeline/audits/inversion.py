"""Is there any embedding that still brings the class back?"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from erasediff_pipeline.config import InversionSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.embedded import Embedded, embeddings_apart
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
    """Search the embedding under which the model denoises the forgotten images best, with full access to it.

    min over e of E‖ε − ε_θ(x_t, t, e)‖², textual inversion (arXiv 2208.01618, equation 2), as the attack of
    arXiv 2308.01508. From random embeddings, each element drawn from the normal distribution of that of the
    retained conditions' embeddings (``embeddings_apart``), and from the forgotten condition's own.

    Args:
        model: The model under audit; its weights stay.
        images: Forgotten images of one class, under the numbers of their conditions.
        retained: ``[N]`` int64, numbers of retained conditions.
        measure: A model → share of its samples that show the class.
        settings: Budget: restarts and steps.
        seed: Rules starts, batches and noise.
        checkpoint: Where a training keeps its checkpoint.

    Returns:
        A row a start: ``start`` (``own`` or ``random 1``, …), ``loss`` at the end, ``forget_accuracy``.
    """
    rows = []
    for name, start in list_starts(model, images, retained, settings.restarts, seed).items():
        attack = Embedded(model, start)
        history, _ = train(
            attack,
            Denoising(settings),
            TrainingData(retain=images),
            settings,
            derive_seed(seed, "inversion", name),
            checkpoint,
        )
        rows.append((name, history[-1]["loss"], measure(attack)))
    return pd.DataFrame(rows, columns=["start", "loss", "forget_accuracy"])


@torch.no_grad()
def list_starts(
    model: DiffusionModel, images: LabelledImages, retained: Tensor, restarts: int, seed: int
) -> dict[str, Tensor]:
    """The forgotten condition's own embedding, and random ones, by name."""
    own = model.embed_condition(model.condition(torch.from_numpy(images.labels[:1].copy())))[0]
    table = embeddings_apart(model, retained, torch.from_numpy(images.labels[:1].copy()))
    mean, std = table.mean(dim=0), table.std(dim=0)
    starts = {"own": own}
    for number in range(1, restarts + 1):
        generator = make_generator(seed, "inversion start", number)
        starts[f"random {number}"] = mean + std * torch.randn(mean.shape, generator=generator).to(mean.device)
    return starts
