"""Nodes of the unlearning chain, the same for every method."""

import logging
from collections.abc import Callable
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from erasediff_pipeline.audits.models import audit_parameters
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
from erasediff_pipeline.config.deciding import as_plain, settings_of
from erasediff_pipeline.data.class_names import names_of
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.data.task import ForgetTask, build_task
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import hash_pipeline, takes_prompts
from erasediff_pipeline.evaluation import measure
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.evaluation.metrics import Metrics
from erasediff_pipeline.evidence.card import write_card
from erasediff_pipeline.evidence.deciding import Sampled, measure_until_decided
from erasediff_pipeline.evidence.document import collect_evidence
from erasediff_pipeline.evidence.recorded import hash_judge, hash_model, hash_results, seal
from erasediff_pipeline.reporting.figures import draw_curves, draw_grid_of_request
from erasediff_pipeline.reporting.report import render_report
from erasediff_pipeline.tracking import provenance
from erasediff_pipeline.tracking.numbers import MlflowMetrics, numbers_of
from erasediff_pipeline.tracking.registry import ModelVersion, describe_version
from erasediff_pipeline.training.loop import OnLog
from erasediff_pipeline.unlearning.erase import Erased, erase
from erasediff_pipeline.unlearning.registry import METHODS
from erasediff_pipeline.workspace import Workspace

logger = logging.getLogger(__name__)


def take_base_model(base_model: ModelWithHistory, name: str) -> ModelWithHistory:
    """Load the base model into memory: this run may overwrite its folder."""
    logger.info("base model: %r, requests answered before: %d", name, len(base_model.history))
    return base_model


def define_task(
    images: LabelledImages,
    manifest: pd.DataFrame,
    asked: ForgetRequest,
    captions: CaptionSettings,
    starting_model: ModelWithHistory,
) -> tuple[ForgetTask, pd.DataFrame, Request, pd.DataFrame]:
    """Resolve the request: the task, and its split, request and conditions to save."""
    task = build_task(images, manifest, asked, captions, starting_model.history)
    return task, task.split, task.request, task.conditions


def erase_by(method: str) -> Callable:
    """Node that erases by ``method``; its settings have the method's own type."""
    entry = METHODS[method]

    def erase_forget_set(
        starting_model: ModelWithHistory,
        task: ForgetTask,
        settings: entry.settings,  # type: ignore[name-defined]
        seed: int,
        machine: MachineSettings,
        workspace: Workspace,
        on_log: OnLog,
    ) -> Erased:
        return erase(method, starting_model, task, settings, seed, workspace, machine, on_log)

    return erase_forget_set


def sample(which: str) -> Callable:
    """Node that samples one model; the progress bar shows ``which``."""

    def sample_model(
        model: ModelWithHistory,
        task: ForgetTask,
        sampling: SamplingSettings,
        evaluation: EvaluationSettings,
        seed: int,
    ) -> LabelledImages:
        return measure.sample_model(model.pipeline, task, sampling, evaluation, seed, f"sample {which}")

    return sample_model


def sample_unguided(which: str) -> Callable:
    """Node that samples one model without guidance; the progress bar shows ``which``."""

    def sample(
        model: ModelWithHistory,
        samples: LabelledImages,
        task: ForgetTask,
        sampling: SamplingSettings,
        evaluation: EvaluationSettings,
        seed: int,
    ) -> LabelledImages:
        title = f"sample {which}, no guidance"
        return measure.sample_unguided(model.pipeline, samples, task, sampling, evaluation, seed, title)

    return sample


def measure_membership(
    model: ModelWithHistory, task: ForgetTask, sampling: SamplingSettings, evaluation: EvaluationSettings
) -> Metrics:
    """Membership AUC of the forgotten images."""
    return measure.measure_membership(model.pipeline, task, sampling, evaluation)


def gather(which: str) -> Callable:
    """Node that gathers what was drawn from one model; the progress bars of more samples show ``which``."""

    def gather_samples(
        model: ModelWithHistory, samples: LabelledImages, unguided: LabelledImages, membership: Metrics
    ) -> Sampled:
        return Sampled(f"sample {which}", model.pipeline, samples, unguided, membership)

    return gather_samples


def evaluate(method: str) -> Callable:
    """Node that measures both models, on more samples if gates are undecided."""

    def evaluate_models(
        base: Sampled,
        erased: Sampled,
        task: ForgetTask,
        classifier: AnyClassifier,
        sampling: SamplingSettings,
        evaluation: EvaluationSettings,
        gates: GateSettings,
        seed: int,
    ) -> tuple[dict[str, Any], MlflowMetrics, MlflowMetrics]:
        """``metrics.json``, and the numbers of both models for MLflow."""
        found = measure_until_decided(
            method, base, erased, task, classifier, sampling, evaluation, gates, seed
        )
        return found, numbers_of(found["base"]), numbers_of(found["erased"])

    return evaluate_models


def describe_run(method: str) -> Callable:
    """Node that describes how the result of ``method`` was made."""

    def describe(
        starting_model: ModelWithHistory,
        erased_model: ModelWithHistory,
        request: Request,
        cost: dict[str, Any],
        parameters: dict[str, Any],
        metrics: dict[str, Any],
        curves: pd.DataFrame,
        base_samples: LabelledImages,
        erased_samples: LabelledImages,
        classifier: AnyClassifier,
    ) -> dict[str, Any]:
        """Build ``run.json``: cost and provenance, which differ from run to run, and hashes of results."""
        decisive = settings_of(parameters, METHODS[method].parameters)
        described = provenance.describe_run(
            hash_pipeline(starting_model.pipeline),
            hash_pipeline(erased_model.pipeline),
            request,
            cost,
            {**decisive, **{key: as_plain(parameters)[key] for key in ("gates", "machine")}},
            {
                **hash_results(metrics, curves, base_samples, erased_samples),
                **hash_model(erased_model),
                **hash_judge(classifier),
            },
        )
        return seal(described)

    return describe


def check_gates(method: str) -> Callable:
    """Node that checks the gates; those that need an audit name the command that audits ``method``."""

    def check(
        metrics: dict[str, Any],
        run: dict[str, Any],
        gates: GateSettings,
        report: ReportSettings,
        workspace: Workspace,
    ) -> dict[str, Any]:
        """Build ``evidence.json``: the results, checked against the gates that need no audit."""
        request = Request.model_validate(metrics["forget"])
        command = workspace.command("audit", audit_parameters(method, request))
        return collect_evidence(metrics, run, None, gates, report.hide_forgotten, command)

    return check


def fill_card(method: str) -> Callable:
    """Node that writes the model card next to the weights that ``method`` has saved."""

    def fill(
        erased_model: ModelWithHistory,
        evidence: dict[str, Any],
        manifest: pd.DataFrame,
        workspace: Workspace,
    ) -> str:
        """``README.md`` of the model's folder; the same bytes for the same figures and names."""
        by_words = takes_prompts(erased_model.pipeline)
        task = "text-to-image" if by_words else "unconditional-image-generation"
        command = workspace.command(METHODS[method].pipeline)
        request = Request.model_validate(evidence["request"])
        audit_command = workspace.command("audit", audit_parameters(method, request))
        return write_card(evidence, command, audit_command, task, names_of(manifest))

    return fill


def write_report(
    base: LabelledImages,
    erased: LabelledImages,
    request: Request,
    curves: pd.DataFrame,
    evidence: dict[str, Any],
    settings: ReportSettings,
    manifest: pd.DataFrame,
) -> tuple[Figure, Figure, str]:
    """Draw the before/after grid and the curves, and render one self-contained page with both."""
    names = names_of(manifest)
    grid = draw_grid_of_request(base, erased, request, settings, names)
    lines = draw_curves(curves)
    return grid, lines, render_report(evidence, grid, lines, names)


def version_model(
    erased_model: ModelWithHistory,
    card: str,
    evidence: dict[str, Any],
    report: str,
    task: ForgetTask,
    tracking: TrackingSettings,
    sampling: SamplingSettings,
) -> ModelVersion:
    """Describe the version to register; model and card are already saved."""
    return describe_version(evidence, report, task, tracking, sampling)
