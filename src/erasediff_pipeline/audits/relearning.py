"""Relearning: how soon does a forgotten class come back when the model is trained on it again?"""

import copy
from collections.abc import Callable

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
    images: LabelledImages,
    measure: Callable[[DiffusionModel], float],
    settings: RelearningSettings,
    seed: int,
) -> pd.DataFrame:
    """Train a copy by plain denoising, and measure it after 0, 1, 2, 4, … steps and at the end.

    min over θ of E‖ε − ε_θ(x_t, t, c)‖² (arXiv 2006.11239, equation 14) on ``images``, from the erased
    weights; relearning as an audit of unlearning: arXiv 2402.16835. What was only hidden comes back after a
    few steps; what is gone takes as many steps as in a model that never had it: compare with the retrained
    model.

    Args:
        model: The model under audit; it is not changed.
        images: Images under the numbers of their conditions; the first ``settings.images`` are used.
        measure: Model → share of its samples that show the class, in [0, 1]. It may draw random numbers.
        settings: Settings of the training. It writes no checkpoint: a resumed run would lack measurements.
        seed: Seed of batches and noise.

    Returns:
        One row per measurement: ``step`` and ``forget_accuracy``, a share in [0, 1].
    """
    trained = copy.deepcopy(model)
    points = [(0, measure(trained))]

    def measure_sometimes(step: int, scalars: dict[str, float]) -> None:
        done = step + 1
        if done & (done - 1) == 0 or done == settings.steps:  # a power of two, or the last
            points.append((done, measure(trained)))
            trained.train()

    data = TrainingData(retain=images.select(np.arange(min(len(images), settings.images))))
    denoising = Denoising(settings)
    train(trained, denoising, data, settings, seed, on_log=measure_sometimes, section="audit.relearning")
    return pd.DataFrame(points, columns=["step", "forget_accuracy"])


def steps_to_half(curve: pd.DataFrame, base_accuracy: float) -> int | None:
    """min {k : a_k ≥ a/2}, the first measured step at which half of the class is back.

    Args:
        curve: As ``relearn`` returns it; a_k is ``forget_accuracy`` after k steps.
        base_accuracy: a, the base model's.

    Returns:
        k, or None if no measurement reaches a/2.
    """
    back = curve["step"][curve["forget_accuracy"] >= base_accuracy / 2]
    return None if back.empty else int(back.iloc[0])
