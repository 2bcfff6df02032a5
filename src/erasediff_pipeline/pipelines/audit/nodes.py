"""Nodes of ``audit``: the same audits of the base model, the erased model and the retrained model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from erasediff_pipeline.audits.models import (
    audit_parameters,
    check_erased_model,
    list_models,
    name_other_settings,
)
from erasediff_pipeline.audits.summaries import collect_audits
from erasediff_pipeline.audits.tables import Models
from erasediff_pipeline.config import AuditSettings, GateSettings, ReportSettings
from erasediff_pipeline.config.deciding import as_plain, settings_of
from erasediff_pipeline.data.class_names import names_of
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.evaluation.bench import Bench
from erasediff_pipeline.evidence.document import collect_evidence
from erasediff_pipeline.evidence.gates import HELD
from erasediff_pipeline.evidence.recorded import check_run, hash_judge, hash_model, hash_results, list_files
from erasediff_pipeline.experiments.audits import run_audit
from erasediff_pipeline.experiments.store import TrialStore
from erasediff_pipeline.experiments.trials import train_trial
from erasediff_pipeline.reporting.audit import draw_audit
from erasediff_pipeline.reporting.figures import draw_curves, draw_grid_of_request
from erasediff_pipeline.reporting.report import render_report
from erasediff_pipeline.tracking import registry
from erasediff_pipeline.tracking.numbers import MlflowMetrics, numbers_of
from erasediff_pipeline.tracking.provenance import describe_provenance
from erasediff_pipeline.unlearning.registry import METHODS
from erasediff_pipeline.workspace import Workspace


def find_models(
    bench: Bench,
    store: TrialStore,
    erased_model: ModelWithHistory,
    metrics: dict[str, Any],
    run: dict[str, Any],
    curves: pd.DataFrame,
    base_samples: LabelledImages,
    erased_samples: LabelledImages,
    settings: AuditSettings,
    parameters: dict[str, Any],
    seed: int,
    workspace: Workspace,
) -> Models:
    """Models to audit, if the results are those that their run recorded; missing trials are trained."""
    found = hash_results(metrics, curves, base_samples, erased_samples) | hash_judge(bench.classifier)
    check_run(run, found, f"audit.model: {settings.model!r}")
    name_other_settings(run["provenance"]["parameters"], settings_of(parameters), settings.model)
    check_erased_model(bench, erased_model, metrics, run["provenance"], settings, parameters["base"])
    check_run(run, hash_model(erased_model), f"audit.model: {settings.model!r}")

    def train(method: str) -> ModelWithHistory:
        entry = METHODS[method]
        own = entry.settings.model_validate(parameters[entry.parameters])
        return train_trial(bench, store, workspace, method, own, seed).model

    return list_models(bench, erased_model, metrics["method"], settings, train)


def ask(question: str) -> Callable:
    """Node that runs one audit on every model; stored results are reused."""

    def ask_every_model(
        bench: Bench,
        store: TrialStore,
        models: Models,
        settings: AuditSettings,
        seed: int,
        workspace: Workspace,
    ) -> pd.DataFrame:
        return run_audit(question, bench, store, models, settings, seed, workspace)

    return ask_every_model


def collect(
    bench: Bench,
    models: Models,
    relearning: pd.DataFrame,
    inversion: pd.DataFrame,
    membership: pd.DataFrame,
    leakage: pd.DataFrame,
    damage: pd.DataFrame,
    settings: AuditSettings,
) -> tuple[dict[str, Any], MlflowMetrics]:
    """Build ``audit.json``, and the erased model's numbers for MLflow."""
    tables = {
        "relearning": relearning,
        "inversion": inversion,
        "membership": membership,
        "leakage": leakage,
        "damage": damage,
    }
    document = collect_audits(bench.task.request, models, tables, settings)
    return document, numbers_of(document["models"]["erased"])


def check_gates(
    metrics: dict[str, Any],
    run: dict[str, Any],
    document: dict[str, Any],
    gates: GateSettings,
    report: ReportSettings,
    parameters: dict[str, Any],
    workspace: Workspace,
) -> dict[str, Any]:
    """Build ``evidence.json``: all results, checked against the gates."""
    trained = [METHODS[m].parameters for m in ("retrain", *document["models"]) if m in METHODS]
    asked = settings_of(parameters, *trained)
    asked |= {key: value for key, value in as_plain(parameters).items() if key in ("audit", "gates")}
    request = Request.model_validate(metrics["forget"])
    command = workspace.command("audit", audit_parameters(metrics["method"], request))
    return collect_evidence(
        metrics, run, document, gates, report.hide_forgotten, command, describe_provenance(asked)
    )


def write_report(
    base: LabelledImages,
    erased: LabelledImages,
    curves: pd.DataFrame,
    relearning: pd.DataFrame,
    inversion: pd.DataFrame,
    leakage: pd.DataFrame,
    evidence: dict[str, Any],
    settings: ReportSettings,
    manifest: pd.DataFrame,
) -> tuple[Figure, str]:
    """Draw the curves of the audits, and write the model's report with them."""
    names, request = names_of(manifest), Request.model_validate(evidence["request"])
    grid = draw_grid_of_request(base, erased, request, settings, names)
    figure = draw_audit(relearning, inversion, leakage)
    return figure, render_report(evidence, grid, draw_curves(curves), names, figure)


def record_files(folder: Path, run: dict[str, Any], report: str) -> dict[str, Any]:
    """Build ``files.json``, once the report is written, the last file of the audit."""
    return list_files(folder, run)


def describe_verdict(models: Models, evidence: dict[str, Any], report: str) -> registry.Verdict:
    """Build the verdict to record at this model's versions in the registry."""
    weights = hash_pipeline(models["erased"].pipeline)
    return registry.describe_verdict(weights, evidence["verdict"], evidence["verdict"] == HELD, report)
