"""How soon does the class come back, when the model is taught again?"""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from erasediff_pipeline.config import RelearningSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import TrainingData


def relearn(
    model: DiffusionModel,
    taught: LabelledImages,
    measure: Callable[[DiffusionModel], float],
    settings: RelearningSettings,
    seed: int,
    checkpoint: Path,
) -> pd.DataFrame:
    """Train a copy on plain denoising, and measure it after 0, 1, 2, 4, … steps.

    min over θ of E‖ε − ε_θ(x_t, t, c)‖² (arXiv 2006.11239, equation 14) on the taught images, from the erased
    weights; relearning as an audit of unlearning: arXiv 2402.16835. What was hidden is back after a few
    steps; what is gone takes as many as in a model that never had it. So the figure says something beside
    that of the retrained model only.

    Args:
        model: The model under audit; it stays as it is.
        taught: Images under the numbers of their conditions; the first ``settings.images`` are used.
        measure: A model → share of its samples that show the class.
        settings: Of the training.
        seed: Rules batches and noise.
        checkpoint: Where a training would keep its checkpoint; none is written.

    Returns:
        ``step`` and ``forget_accuracy``.
    """
    pupil = copy.deepcopy(model)
    # What was measured on the way is in no checkpoint: one that is stopped starts again.
    settings = settings.model_copy(update={"checkpoint_every": settings.steps})
    points = [(0, measure(pupil))]

    def look(step: int, scalars: dict[str, float]) -> None:
        done = step + 1
        if done & (done - 1) == 0 or done == settings.steps:  # a power of two, or the last
            points.append((done, measure(pupil)))
            pupil.train()

    lesson = TrainingData(retain=taught.select(np.arange(min(len(taught), settings.images))))
    train(pupil, Denoising(settings), lesson, settings, seed, checkpoint, look)
    return pd.DataFrame(points, columns=["step", "forget_accuracy"])


def steps_to_half(curve: pd.DataFrame, whole: float) -> int | None:
    """min {k : a_k ≥ a/2}, a_k the share after k steps, a (``whole``) the base model's; None without one."""
    back = curve["step"][curve["forget_accuracy"] >= whole / 2]
    return None if back.empty else int(back.iloc[0])
