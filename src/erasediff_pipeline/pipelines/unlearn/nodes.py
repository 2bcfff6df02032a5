"""Nodes of the unlearning chain, the same for every method."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from matplotlib.figure import Figure
from pydantic import BaseModel

from erasediff_pipeline.catalog.diffusers_directory import history_of
from erasediff_pipeline.catalog.registered_model import ModelVersion
from erasediff_pipeline.config import (
    CaptionSettings,
    EvaluationSettings,
    ForgetRequest,
    GateSettings,
    MachineSettings,
    ReportSettings,
    SamplingSettings,
    TrackingSettings,
)
from erasediff_pipeline.data.conditions import (
    ERASE,
    RETAIN,
    SYNONYM,
    conditions_before,
    list_conditions,
    number_of,
    plan_samples,
    training_set,
    unseen_set,
)
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import (
    forgotten_classes,
    history_entry,
    select_set,
    split_by_request,
)
from erasediff_pipeline.diffusion.pipelines import hash_pipeline, model_of
from erasediff_pipeline.diffusion.sampling import draw_samples
from erasediff_pipeline.evaluation.classifiers.pretrained import Judge
from erasediff_pipeline.evaluation.membership import denoising_losses, membership_auc
from erasediff_pipeline.evaluation.metrics import (
    Metrics,
    evaluate_samples,
    round_metrics,
)
from erasediff_pipeline.evidence.card import write_card
from erasediff_pipeline.evidence.document import collect_evidence
from erasediff_pipeline.paths import checkpoint_path, feature_path, kedro_run
from erasediff_pipeline.reporting.figures import draw_curves, draw_grid
from erasediff_pipeline.reporting.report import render_report
from erasediff_pipeline.reporting.summary import name_request, names_in
from erasediff_pipeline.seeding import derive_seed
from erasediff_pipeline.tracking.provenance import describe_provenance
from erasediff_pipeline.tracking.scalars import log_scalars
from erasediff_pipeline.training.loop import PLAIN, OnLog, edit, train
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.registry import METHODS

logger = logging.getLogger(__name__)
MlflowMetrics = dict[str, dict[str, float]]
DECIDING = {"seed", "base", "forget", "captions", "sampling", "evaluation"}
VERSION_TAGS = (
    "base_model_sha256",
    "erased_model_sha256",
    "forget_sha256",
    "retain_sha256",
    "git_commit",
    "dvc_lock_sha256",
)


def start_from(base_model: DiffusionPipeline, name: str) -> DiffusionPipeline:
    """Take the model to start from into memory: this very run may write where it lies."""
    logger.info("starting from %r, requests answered before: %d", name, len(history_of(base_model)))
    return base_model


def split_data(
    manifest: pd.DataFrame,
    request: ForgetRequest,
    captions: CaptionSettings,
    starting_model: DiffusionPipeline,
) -> tuple[pd.DataFrame, dict[str, Any], pd.DataFrame]:
    """Divide the training images into a forget set and a retain set, without what is gone already.

    The conditions come along: what the model is to be asked, and what for.
    """
    split = split_by_request(manifest, request, history_of(starting_model), captions)
    return split.table, split.description, list_conditions(manifest, split.description, captions)


def erase_with(method: str, on_log: OnLog = log_scalars) -> Callable:
    """The node that erases by ``method``; its settings are of the method's own type."""
    entry = METHODS[method]

    def erase(
        starting_model: DiffusionPipeline,
        images: LabelledImages,
        manifest: pd.DataFrame,
        split: pd.DataFrame,
        request: dict[str, Any],
        conditions: pd.DataFrame,
        settings: entry.settings,  # type: ignore[name-defined]
        seed: int,
        machine: MachineSettings = PLAIN,
    ) -> tuple[DiffusionPipeline, pd.DataFrame, dict[str, Any]]:
        """Unlearn the forget set; return the erased model, the curves and the cost.

        It is the weights of ``starting_model`` that move: the catalog hands out a deep copy, other callers
        bring one.
        """
        model = model_of(starting_model, list(conditions["prompt"]))
        entry_of_request = history_entry(request, split, method, hash_pipeline(starting_model))
        data = TrainingData(
            retain=training_set(images, manifest, split, conditions, "retain"),
            forget=training_set(images, manifest, split, conditions, "forget"),
            forgotten_before=conditions_before(conditions, request),
            anchor=number_of(conditions, request["anchor_prompt"]) if request["by"] == "prompts" else None,
        )
        built = entry.build(settings)
        if getattr(built, "closed_form", False):
            history, cost = edit(model, built, data)
        else:
            history, cost = train(
                model,
                built,
                data,
                settings,
                seed,
                checkpoint_path(method),
                on_log,
                FeatureStore(feature_path(method)),
                machine,
            )
        erased = model.to_pipeline()
        erased.request_history = [*history_of(starting_model), entry_of_request]
        return erased, pd.DataFrame(history), asdict(cost)

    return erase


def draw_from(which: str) -> Callable:
    """The node that samples one model; the progress bar says ``which``."""

    def sample_model(
        pipeline: DiffusionPipeline,
        conditions: pd.DataFrame,
        sampling: SamplingSettings,
        evaluation: EvaluationSettings,
        seed: int,
    ) -> LabelledImages:
        """Draw the images to judge: the same conditions and the same noise for every model."""
        model = model_of(pipeline, list(conditions["prompt"]))
        plan = plan_samples(conditions, evaluation)
        numbers = torch.tensor(plan["number"].to_numpy())
        drawn = draw_samples(model, numbers, derive_seed(seed, "evaluation"), sampling, f"sample {which}")
        return LabelledImages(drawn, plan["label"].to_numpy())

    return sample_model


def measure_membership(
    pipeline: DiffusionPipeline,
    images: LabelledImages,
    manifest: pd.DataFrame,
    split: pd.DataFrame,
    request: dict[str, Any],
    conditions: pd.DataFrame,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
    seed: int,
) -> Metrics:
    """Membership AUC of the forgotten images; not measured where whole classes are forgotten."""
    if request["by"] != "ids":
        return {"forget_membership_auc": None}
    model = model_of(pipeline, list(conditions["prompt"]))
    seed = derive_seed(seed, "evaluation")
    members = training_set(images, manifest, split, conditions, "forget")
    unseen = unseen_set(images, manifest, conditions, request["classes"])
    auc = membership_auc(
        denoising_losses(model, members, evaluation, seed, sampling.batch_size),
        denoising_losses(model, unseen, evaluation, seed, sampling.batch_size),
    )
    return {"forget_membership_auc": auc}


def evaluate_model(
    samples: LabelledImages,
    membership: Metrics,
    images: LabelledImages,
    manifest: pd.DataFrame,
    split: pd.DataFrame,
    conditions: pd.DataFrame,
    classifier: Judge,
    evaluation: EvaluationSettings,
) -> Metrics:
    """Everything that is measured of one model."""
    real = select_set(images, manifest, split, "retain")
    roles = plan_samples(conditions, evaluation)["role"].to_numpy()
    metrics = evaluate_samples(samples, roles, real, classifier, evaluation)
    return round_metrics({**metrics, **membership})


def collect_metrics(method: str) -> Callable:
    """The node that lays before and after side by side, under the method's name."""

    def collect(
        request: dict[str, Any],
        base: Metrics,
        erased: Metrics,
        conditions: pd.DataFrame,
        evaluation: EvaluationSettings,
    ) -> tuple[dict[str, Any], MlflowMetrics, MlflowMetrics]:
        """``metrics.json``, and the numbers of both models for MLflow."""
        counts = count_prompts(conditions, evaluation)
        document = {"method": method, "forget": request, "base": base | counts, "erased": erased | counts}
        return document, numbers_of(base), numbers_of(erased)

    return collect


def count_prompts(conditions: pd.DataFrame, evaluation: EvaluationSettings) -> dict[str, int]:
    """Samples of the prompts that were worked on, and of synonyms; empty for a request without prompts."""
    roles = plan_samples(conditions, evaluation)["role"].value_counts()
    keys = {ERASE: "erased_prompt_samples", SYNONYM: "synonym_samples"}
    return {key: int(roles[role]) for role, key in keys.items() if role in roles}


def numbers_of(metrics: Metrics) -> MlflowMetrics:
    """As kedro-mlflow takes them, without what is text or not measured."""
    flat = pd.json_normalize(metrics, sep=".").iloc[0].to_dict()
    return {str(k): {"value": float(v), "step": 0} for k, v in flat.items() if isinstance(v, int | float)}


def describe_run(method: str) -> Callable:
    """The node that tells how the result of ``method`` was made."""

    def describe(
        starting_model: DiffusionPipeline,
        erased_model: DiffusionPipeline,
        request: dict[str, Any],
        cost: dict[str, Any],
        parameters: dict[str, Any],
    ) -> dict[str, Any]:
        """``run.json``: what it cost and where it comes from; differs from run to run."""
        return {
            "cost": cost,
            "provenance": {
                "base_model_sha256": hash_pipeline(starting_model),
                "erased_model_sha256": hash_pipeline(erased_model),
                "forget_sha256": request["forget_sha256"],
                "retain_sha256": request["retain_sha256"],
                **describe_provenance(
                    {**settings_of(parameters, method), "machine": as_plain(parameters)["machine"]}
                ),
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


def hold_gates(
    metrics: dict[str, Any], run: dict[str, Any], gates: GateSettings, report: ReportSettings
) -> dict[str, Any]:
    """``evidence.json``: what was measured, held against the gates that need no audit."""
    hidden = report.hide_forgotten and bool(forgotten_classes(metrics["forget"]))
    return collect_evidence(metrics, run, None, gates, hidden)


def fill_card(method: str) -> Callable:
    """The node that writes the model card, which lies next to the weights that ``method`` has saved."""

    def fill(erased_model: DiffusionPipeline, evidence: dict[str, Any], source_report: dict[str, Any]) -> str:
        """``README.md`` of the model's folder; the same bytes for the same figures and names."""
        by_words = isinstance(erased_model, StableDiffusionPipeline)
        task = "text-to-image" if by_words else "unconditional-image-generation"
        return write_card(evidence, kedro_run(METHODS[method].pipeline), task, names_in(source_report))

    return fill


def write_report(
    base: LabelledImages,
    erased: LabelledImages,
    request: dict[str, Any],
    curves: pd.DataFrame,
    evidence: dict[str, Any],
    settings: ReportSettings,
    source_report: dict[str, Any],
) -> tuple[Figure, Figure, str]:
    """The before/after grid, the curves, and one self-contained page with both."""
    names = names_in(source_report)
    grid = draw_samples_of(base, erased, forgotten_classes(request), settings, names)
    lines = draw_curves(curves)
    return grid, lines, render_report(evidence, grid, lines, names)


def draw_samples_of(
    base: LabelledImages,
    erased: LabelledImages,
    forgotten: list[int],
    settings: ReportSettings,
    names: dict[int, str],
) -> Figure:
    """The grid, without the rows of forgotten classes where they are hidden."""
    if settings.hide_forgotten:
        base, erased = (images.select(~np.isin(images.labels, forgotten)) for images in (base, erased))
        forgotten = []
    return draw_grid(base, erased, forgotten, settings.grid_columns, names)


def version_model(
    erased_model: DiffusionPipeline,
    card: str,
    evidence: dict[str, Any],
    report: str,
    conditions: pd.DataFrame,
    tracking: TrackingSettings,
    sampling: SamplingSettings,
) -> ModelVersion:
    """What the registry should know of the erased model; model and card are saved by now."""
    provenance = evidence["provenance"]
    name = tracking.registered_model
    kept = conditions[conditions["role"] == RETAIN]
    number, prompt = int(kept.index[0]), str(kept["prompt"].iloc[0])
    return ModelVersion(
        name=name and name.replace("{method}", evidence["method"]),
        tags={
            **{key: str(provenance[key]) for key in VERSION_TAGS},
            "request": name_request(evidence["request"]),
            "gates": evidence["verdict"],
            "report_sha256": hashlib.sha256(report.encode()).hexdigest(),
        },
        sampling=sampling.model_dump(),
        asked="prompt" if prompt else "label",
        example=prompt or number,
    )
