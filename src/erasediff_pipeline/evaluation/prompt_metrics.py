"""``metrics.json`` of a list of prompts."""

from typing import Any

import pandas as pd

from erasediff_pipeline.config import CaptionSettings, PromptListSettings
from erasediff_pipeline.data.prompt_list import words_forgotten
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.evaluation.metrics import Metrics, round_metrics
from erasediff_pipeline.evaluation.prompt_images import summarise_images
from erasediff_pipeline.fingerprint import hash_json
from erasediff_pipeline.hashing import hash_weights


def collect_prompt_metrics(
    models: dict[str, ModelWithHistory],
    prompt_list: pd.DataFrame,
    seen: dict[str, pd.DataFrame],
    fidelity: dict[str, Metrics],
    classifier: AnyClassifier,
    settings: PromptListSettings,
    captions: CaptionSettings,
) -> dict[str, Any]:
    """Build ``metrics.json``.

    Args:
        models: ``base`` and ``erased``.
        prompt_list: The rows that were drawn.
        seen: For each model, one row per image with its measures.
        fidelity: FID, precision and recall of each model.
        classifier: Its name and hash are recorded.
        settings: The list and its measures.
        captions: Words of the classes.

    Returns:
        ``list`` (file, rows, hash), ``forgotten`` (words), ``models`` (hashes), and metrics of each model.
    """
    forgotten = words_forgotten(models["erased"].history, captions)
    document: dict[str, Any] = {
        "list": {
            "file": settings.file,
            "rows": len(prompt_list),
            "sha256": hash_json({"rows": prompt_list.to_dict("records")}),
        },
        "forgotten": forgotten,
        "models": {name: hash_pipeline(model.pipeline) for name, model in models.items()},
    }
    for name in models:
        document[name] = round_metrics({**summarise_images(seen[name], forgotten), **fidelity[name]})
    if "objects" in settings.measures:
        document["judge"] = {"name": type(classifier).__name__, "sha256": hash_weights(classifier)}
    if "clip" in settings.measures:
        document["clip"] = settings.clip
    return document


def without_class_names(metrics: Metrics) -> Metrics:
    """Drop class names, some of which MLflow refuses as names of metrics."""
    return {key: value for key, value in metrics.items() if key != "accuracy_by_class"}
