"""Nodes of ``prompts``: draw a list of prompts, and measure every image."""

from collections.abc import Callable
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from erasediff_pipeline.config import (
    CaptionSettings,
    PromptListSettings,
    ReportSettings,
    SamplingSettings,
)
from erasediff_pipeline.data.image_store import ImageStore
from erasediff_pipeline.data.prompt_list import read_prompt_list, words_forgotten
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.evaluation.metrics import Metrics
from erasediff_pipeline.evaluation.prompt_metrics import collect_prompt_metrics, without_class_names
from erasediff_pipeline.evaluation.prompt_samples import draw_prompts
from erasediff_pipeline.reporting.figures import draw_prompt_pairs
from erasediff_pipeline.tracking.numbers import MlflowMetrics, numbers_of


def read_list(settings: PromptListSettings, sampling: SamplingSettings, seed: int) -> pd.DataFrame:
    """Read the rows to draw, see ``data.prompt_list``."""
    assert settings.file is not None
    return read_prompt_list(settings.file, seed, sampling.guidance_scale, settings.limit)


def draw_from(which: str) -> Callable:
    """Node that draws the list from one model; the progress bar shows ``which``."""

    def draw(
        model: ModelWithHistory,
        prompt_list: pd.DataFrame,
        store: ImageStore,
        sampling: SamplingSettings,
        settings: PromptListSettings,
    ) -> list[str]:
        """Return the place of each row's image in the store."""
        return draw_prompts(model.pipeline, prompt_list, store, sampling, settings, f"draw {which}")

    return draw


def collect(
    base_model: ModelWithHistory,
    erased_model: ModelWithHistory,
    prompt_list: pd.DataFrame,
    base_seen: pd.DataFrame,
    base_fidelity: Metrics,
    erased_seen: pd.DataFrame,
    erased_fidelity: Metrics,
    base_places: list[str],
    erased_places: list[str],
    judge: AnyClassifier,
    settings: PromptListSettings,
    captions: CaptionSettings,
) -> tuple[pd.DataFrame, dict[str, Any], MlflowMetrics, MlflowMetrics]:
    """Build ``images.csv`` and ``metrics.json``, and the numbers of both models for MLflow."""
    document = collect_prompt_metrics(
        {"base": base_model, "erased": erased_model},
        prompt_list,
        {"base": base_seen, "erased": erased_seen},
        {"base": base_fidelity, "erased": erased_fidelity},
        judge,
        settings,
        captions,
    )
    images = pd.concat(
        [
            base_seen.assign(model="base", file=base_places),
            erased_seen.assign(model="erased", file=erased_places),
        ]
    )
    base, erased = (numbers_of(without_class_names(document[name])) for name in ("base", "erased"))
    return images, document, base, erased


def draw_pictures(
    erased_model: ModelWithHistory,
    store: ImageStore,
    prompt_list: pd.DataFrame,
    base_places: list[str],
    erased_places: list[str],
    settings: ReportSettings,
    captions: CaptionSettings,
) -> Figure:
    """Draw the first images of each class, before and after."""
    forgotten = words_forgotten(erased_model.history, captions)
    places = list(zip(base_places, erased_places, strict=True))
    return draw_prompt_pairs(store, places, prompt_list["class"], forgotten, settings)
