"""Relearning: how soon does a forgotten class come back when the model is trained on it again?"""

import copy
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from erasediff_pipeline.config import RelearningSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import TrainingData


def relearn(
    model: DiffusionModel,
    images: LabelledImages,
    measure: Callable[[DiffusionModel, int], float],
    settings: RelearningSettings,
    seed: int,
) -> pd.DataFrame:
    """Train a copy by plain denoising, and measure it before the first step and after each.

    min over θ of E‖ε − ε_θ(x_t, t, c)‖² (arXiv 2006.11239, equation 14) on ``images``, from the erased
    weights; relearning as an audit of unlearning: arXiv 2402.16835. What was only hidden comes back after a
    few steps; what is gone takes as long as in a model that never had it: compare with the retrained
    model.

    Args:
        model: The model under audit; it is not changed.
        images: Images under the numbers of their conditions; the first ``settings.images`` are used.
        measure: Model and step → share of its samples that show the class, in [0, 1]. It may draw random
            numbers.
        settings: Settings of the training. It writes no checkpoint: a resumed run would lack measurements.
        seed: Seed of batches and noise.

    Returns:
        One row per measurement: ``step`` and ``forget_accuracy``, a share in [0, 1].
    """
    trained = copy.deepcopy(model)
    points = [(0, measure(trained, 0))]

    def measure_each(step: int, scalars: dict[str, float]) -> None:
        points.append((step + 1, measure(trained, step + 1)))
        trained.train()

    data = TrainingData(retain=images.select(np.arange(min(len(images), settings.images))))
    denoising = Denoising(settings)
    train(trained, denoising, data, settings, seed, on_log=measure_each, section="audit.relearning")
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


def area_under(
    curve: pd.DataFrame, base_accuracy: float, samples: int, confidence: float
) -> dict[str, float] | None:
    """(1/K)·Σ a_k / a over the steps k = 1…K: about 0 if the class never comes back, about 1 if it is there.

    The samples of each step are drawn anew, so Wilson's interval (1927) of one share of all of them holds; it
    is somewhat wide, since a_k changes over the steps.

    Args:
        curve: As ``relearn`` returns it; a_k is ``forget_accuracy`` after k steps.
        base_accuracy: a, the base model's.
        samples: Images drawn at each step.
        confidence: Level of the interval, in (0, 1).

    Returns:
        ``value``, ``low`` and ``high``, at least 0; None if the base model does not draw the class.
    """
    if not base_accuracy:
        return None
    shown = curve["forget_accuracy"][curve["step"] > 0]
    share, drawn = float(shown.mean()), samples * len(shown)
    ends = binomtest(round(share * drawn), drawn).proportion_ci(confidence, method="wilson")
    found = {"value": share, "low": min(float(ends.low), share), "high": max(float(ends.high), share)}
    return {name: end / base_accuracy for name, end in found.items()}
