"""Nodes of the unlearning chain, the same for every method."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMPipeline
from matplotlib.figure import Figure
from pydantic import BaseModel
from tqdm.auto import tqdm

from erasediff_pipeline.catalog.diffusers_directory import history_of
from erasediff_pipeline.catalog.registered_model import ModelVersion
from erasediff_pipeline.config import (
    EvaluationSettings,
    ForgetRequest,
    ReportSettings,
    SamplingSettings,
    TrackingSettings,
)
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import (
    classes_of,
    forgotten_classes,
    history_entry,
    select_set,
    split_by_request,
    unseen_of_classes,
)
from erasediff_pipeline.diffusion.model import ClassConditional
from erasediff_pipeline.diffusion.sampling import stream_samples
from erasediff_pipeline.evaluation.classifier import Classifier
from erasediff_pipeline.evaluation.membership import denoising_losses, membership_auc
from erasediff_pipeline.evaluation.metrics import (
    Metrics,
    evaluate_samples,
    plan_labels,
    round_metrics,
)
from erasediff_pipeline.hashing import hash_weights
from erasediff_pipeline.paths import checkpoint_path, feature_path
from erasediff_pipeline.reporting.figures import draw_curves, draw_grid
from erasediff_pipeline.reporting.provenance import describe_provenance
from erasediff_pipeline.reporting.report import render_report
from erasediff_pipeline.seeding import derive_seed
from erasediff_pipeline.tracking.scalars import log_scalars
from erasediff_pipeline.unlearning.loop import OnLog, train
from erasediff_pipeline.unlearning.method import TrainingData
from erasediff_pipeline.unlearning.registry import METHODS
from erasediff_pipeline.unlearning.store import FeatureStore

logger = logging.getLogger(__name__)
MlflowMetrics = dict[str, dict[str, float]]
DECIDING = {"seed", "base", "forget", "sampling", "evaluation"}
VERSION_TAGS = ("base_model_sha256", "erased_model_sha256", "forget_sha256", "git_commit")


def start_from(base_model: DDPMPipeline, name: str) -> DDPMPipeline:
    """Take the model to start from into memory: this very run may write where it lies."""
    logger.info("starting from %r, requests answered before: %d", name, len(history_of(base_model)))
    return base_model


def split_data(
    manifest: pd.DataFrame, request: ForgetRequest, starting_model: DDPMPipeline
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Divide the training images into a forget set and a retain set, without what is gone already."""
    split = split_by_request(manifest, request, history_of(starting_model))
    return split.table, split.description


def erase_with(method: str, on_log: OnLog = log_scalars) -> Callable:
    """The node that erases by ``method``; its settings are of the method's own type."""
    entry = METHODS[method]

    def erase(
        starting_model: DDPMPipeline,
        images: LabelledImages,
        manifest: pd.DataFrame,
        split: pd.DataFrame,
        request: dict[str, Any],
        settings: entry.settings,  # type: ignore[name-defined]
        seed: int,
    ) -> tuple[DDPMPipeline, pd.DataFrame, dict[str, Any]]:
        """Unlearn the forget set; return the erased model, the curves and the cost."""
        model = ClassConditional.from_pipeline(starting_model)
        entry_of_request = history_entry(request, split, method, hash_weights(starting_model.unet))
        data = TrainingData(
            retain=select_set(images, manifest, split, "retain"),
            forget=select_set(images, manifest, split, "forget"),
            forgotten_before=classes_of(request.get("earlier", [])),
        )
        history, cost = train(
            model,
            entry.build(settings),
            data,
            settings,
            seed,
            checkpoint_path(method),
            on_log,
            FeatureStore(feature_path(method)),
        )
        erased = model.to_pipeline()
        erased.request_history = [*history_of(starting_model), entry_of_request]
        return erased, pd.DataFrame(history), asdict(cost)

    return erase


def draw_from(which: str) -> Callable:
    """The node that samples one model; the progress bar says ``which``."""

    def sample_model(
        pipeline: DDPMPipeline,
        images: LabelledImages,
        request: dict[str, Any],
        sampling: SamplingSettings,
        evaluation: EvaluationSettings,
        seed: int,
    ) -> LabelledImages:
        """Draw the images to judge: the same labels and the same noise for every model."""
        model = ClassConditional.from_pipeline(pipeline)
        plan = plan_labels(images.classes, forgotten_classes(request), evaluation)
        labels = torch.tensor(plan)
        drawn = np.empty((len(plan), *images.shape), dtype=np.uint8)
        done = 0
        with tqdm(total=len(plan), desc=f"sample {which}", unit="image") as progress:
            for batch in stream_samples(model, labels, derive_seed(seed, "evaluation"), sampling):
                drawn[done : done + len(batch)] = batch.numpy()
                done += len(batch)
                progress.update(len(batch))
        return LabelledImages(drawn, labels.numpy())

    return sample_model


def measure_membership(
    pipeline: DDPMPipeline,
    images: LabelledImages,
    manifest: pd.DataFrame,
    split: pd.DataFrame,
    request: dict[str, Any],
    evaluation: EvaluationSettings,
    seed: int,
) -> Metrics:
    """Membership AUC of the forgotten images; not measured where whole classes are forgotten."""
    if request["by"] == "classes":
        return {"forget_membership_auc": None}
    model = ClassConditional.from_pipeline(pipeline)
    seed = derive_seed(seed, "evaluation")
    members = select_set(images, manifest, split, "forget")
    unseen = unseen_of_classes(images, manifest, request["classes"])
    auc = membership_auc(
        denoising_losses(model, members, evaluation, seed),
        denoising_losses(model, unseen, evaluation, seed),
    )
    return {"forget_membership_auc": auc}


def evaluate_model(
    samples: LabelledImages,
    membership: Metrics,
    images: LabelledImages,
    manifest: pd.DataFrame,
    split: pd.DataFrame,
    request: dict[str, Any],
    classifier: Classifier,
    evaluation: EvaluationSettings,
) -> Metrics:
    """Everything that is measured of one model."""
    real = select_set(images, manifest, split, "retain")
    metrics = evaluate_samples(samples, forgotten_classes(request), real, classifier, evaluation)
    return round_metrics({**metrics, **membership})


def collect_metrics(method: str) -> Callable:
    """The node that lays before and after side by side, under the method's name."""

    def collect(
        request: dict[str, Any], base: Metrics, erased: Metrics
    ) -> tuple[dict[str, Any], MlflowMetrics, MlflowMetrics]:
        """``metrics.json``, and the numbers of both models for MLflow."""
        document = {"method": method, "forget": request, "base": base, "erased": erased}
        return document, numbers_of(base), numbers_of(erased)

    return collect


def numbers_of(metrics: Metrics) -> MlflowMetrics:
    """As kedro-mlflow takes them, without what is text or not measured."""
    flat = pd.json_normalize(metrics, sep=".").iloc[0].to_dict()
    return {str(k): {"value": float(v), "step": 0} for k, v in flat.items() if isinstance(v, int | float)}


def describe_run(method: str) -> Callable:
    """The node that tells how the result of ``method`` was made."""

    def describe(
        starting_model: DDPMPipeline,
        erased_model: DDPMPipeline,
        request: dict[str, Any],
        cost: dict[str, Any],
        parameters: dict[str, Any],
    ) -> dict[str, Any]:
        """``run.json``: what it cost and where it comes from; differs from run to run."""
        return {
            "cost": cost,
            "provenance": {
                "base_model_sha256": hash_weights(starting_model.unet),
                "erased_model_sha256": hash_weights(erased_model.unet),
                "forget_sha256": request["forget_sha256"],
                "retain_sha256": request["retain_sha256"],
                **describe_provenance(settings_of(parameters, method)),
            },
        }

    return describe


def settings_of(parameters: dict[str, Any], *methods: str) -> dict[str, Any]:
    """The parameters that decide what these methods make of a base model and a classifier."""
    keys = DECIDING | {METHODS[method].parameters for method in methods}
    return {key: value for key, value in as_plain(parameters).items() if key in keys}


def as_plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Kedro hands over validated settings among plain values; JSON takes the latter only."""
    return {k: v.model_dump() if isinstance(v, BaseModel) else v for k, v in parameters.items()}


def write_report(
    base: LabelledImages,
    erased: LabelledImages,
    request: dict[str, Any],
    curves: pd.DataFrame,
    metrics: dict[str, Any],
    run: dict[str, Any],
    settings: ReportSettings,
) -> tuple[Figure, Figure, str]:
    """The before/after grid, the curves, and one self-contained page with both."""
    grid = draw_grid(base, erased, forgotten_classes(request), settings.grid_columns)
    lines = draw_curves(curves)
    return grid, lines, render_report(metrics, run, grid, lines)


def version_model(
    erased_model: DDPMPipeline,
    metrics: dict[str, Any],
    run: dict[str, Any],
    report: str,
    tracking: TrackingSettings,
    sampling: SamplingSettings,
) -> ModelVersion:
    """What the registry should know of the erased model, which is saved by now."""
    provenance = run["provenance"]
    name = tracking.registered_model
    return ModelVersion(
        name=name and name.replace("{method}", metrics["method"]),
        tags={
            **{key: str(provenance[key]) for key in VERSION_TAGS},
            "report_sha256": hashlib.sha256(report.encode()).hexdigest(),
        },
        sampling=sampling.model_dump(),
    )
