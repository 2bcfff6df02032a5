"""Nodes of the comparison: a trial a method and seed, then one table, one plot, one page."""

import logging
from collections.abc import Callable
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline
from matplotlib.figure import Figure

from erasediff_pipeline.catalog import TrialStore
from erasediff_pipeline.config import (
    CompareSettings,
    EvaluationSettings,
    ReportSettings,
    SamplingSettings,
)
from erasediff_pipeline.config.base import Settings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import forgotten_classes
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.evaluation.classifiers.pretrained import Judge
from erasediff_pipeline.experiments.comparison import COSTS, METRICS, add_distances, summarise
from erasediff_pipeline.experiments.trials import Bench, judge_trial, train_trial
from erasediff_pipeline.pipelines.unlearn.nodes import as_plain, settings_of
from erasediff_pipeline.reporting.comparison import draw_grids, draw_trade_off, render_comparison
from erasediff_pipeline.reporting.summary import names_in
from erasediff_pipeline.tracking.provenance import describe_provenance
from erasediff_pipeline.unlearning.registry import METHODS

logger = logging.getLogger(__name__)
Trials = list[dict[str, Any]]


def lay_out(
    store: TrialStore,
    base_model: DiffusionPipeline,
    images: LabelledImages,
    manifest: pd.DataFrame,
    split: pd.DataFrame,
    request: dict[str, Any],
    conditions: pd.DataFrame,
    classifier: Judge,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
) -> Bench:
    """Gather what is the same for every method."""
    return Bench(
        store, base_model, images, manifest, split, request, conditions, classifier, sampling, evaluation
    )


def try_base(bench: Bench, compare: CompareSettings, seed: int) -> Trials:
    """Judge the base model, once a seed, with the noise that the methods' samples start from."""
    trials = []
    for trial_seed in range(seed, seed + compare.seeds):
        judged = judge_trial(bench, "base", bench.base_model, trial_seed)
        row = {"method": "base", "seed": trial_seed, **judged.metrics, **dict.fromkeys(COSTS)}
        trials.append({"row": row, "samples": judged.samples, "curves": None})
    return trials


def try_method(method: str) -> Callable:
    """The node that trains and judges one method, once a seed."""
    entry = METHODS[method]

    def attempt(
        bench: Bench,
        compare: CompareSettings,
        settings: entry.settings,  # type: ignore[name-defined]
        seed: int,
    ) -> Trials:
        """The method's trials; none where the comparison leaves the method out."""
        if compare.methods is not None and method not in compare.methods:
            return []
        if reason := reason_to_leave_out(method, bench.request["by"]):
            logger.warning("%s is left out: %s", method, reason)
            return []
        return [try_once(bench, method, settings, s) for s in range(seed, seed + compare.seeds)]

    return attempt


def reason_to_leave_out(method: str, by: str) -> str | None:
    """Why this method does not answer a request of this kind; None where it does."""
    build = METHODS[method].build
    if by == "ids" and getattr(build, "classes_only", False):
        return "it forgets classes, not single images"
    if by != "prompts" and getattr(build, "prompts_only", False):
        return "it is for text-to-image models"
    return None


def try_once(bench: Bench, method: str, settings: Settings, seed: int) -> dict[str, Any]:
    """One trial: its row of the table, its samples, its curves."""
    trained = train_trial(bench, method, settings, seed)
    judged = judge_trial(bench, method, trained.model, seed)
    costs = {name: trained.cost[name] for name in COSTS}
    row = {"method": method, "seed": seed, **judged.metrics, **costs}
    return {"row": row, "samples": judged.samples, "curves": trained.curves}


def tabulate(
    request: dict[str, Any], classifier: Judge, compare: CompareSettings, *trials: Trials
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Every trial; the summary over seeds, nearest to the retrained model first; and that as JSON."""
    rows = pd.DataFrame([trial["row"] for of_method in trials for trial in of_method])
    rows = rows[["method", "seed", *METRICS, *COSTS]]
    classes = int(classifier.config["classes"])
    summary = add_distances(summarise(rows, compare.confidence), classes)
    summary = summary.sort_values("distance", kind="stable", ignore_index=True)
    methods = [
        {key: None if pd.isna(value) else value for key, value in row.items()}
        for row in summary.astype(object).to_dict("records")
    ]
    return rows, summary, {"forget": request, "methods": methods}


def report_comparison(
    summary: pd.DataFrame,
    request: dict[str, Any],
    compare: CompareSettings,
    report: ReportSettings,
    parameters: dict[str, Any],
    base_model: DiffusionPipeline,
    source_report: dict[str, Any],
    *trials: Trials,
) -> tuple[Figure, Figure, str]:
    """The trade-off, the grids of the first seed, and one self-contained page with both and the table."""
    samples = {t[0]["row"]["method"]: t[0]["samples"] for t in trials if t}
    forgotten = forgotten_classes(request)
    if report.hide_forgotten:
        samples = {m: drawn.select(~np.isin(drawn.labels, forgotten)) for m, drawn in samples.items()}
        forgotten = []
    names = names_in(source_report)
    grids = draw_grids(samples, forgotten, report.grid_columns, names)
    trade_off = draw_trade_off(summary, by_ids=request["by"] == "ids")
    provenance = {
        "base_model_sha256": hash_pipeline(base_model),
        "forget_sha256": request["forget_sha256"],
        "retain_sha256": request["retain_sha256"],
        **describe_provenance(settings_of(parameters, *(name for name in samples if name in METHODS))),
    }
    page = render_comparison(summary, request, trade_off, grids, compare, provenance, names)
    return trade_off, grids, page


def track_methods(summary: pd.DataFrame, parameters: dict[str, Any], *trials: Trials) -> None:
    """In MLflow one run a method below the comparison's own, with the same columns."""
    if mlflow.active_run() is None:
        return
    for of_method in trials:
        if not of_method:
            continue
        method = of_method[0]["row"]["method"]
        numbers = summary[summary["method"] == method].drop(columns="method").iloc[0].dropna()
        with mlflow.start_run(run_name=method, nested=True):
            mlflow.set_tag("method", method)
            mlflow.log_metrics({key: float(value) for key, value in numbers.items()})
            if method in METHODS:
                settings = as_plain(parameters)[METHODS[method].parameters]
                mlflow.log_params({"method": method, **settings})
            if of_method[0]["curves"] is not None:
                for point in of_method[0]["curves"].to_dict("records"):
                    mlflow.log_metrics(
                        {k: v for k, v in point.items() if k != "step"}, step=int(point["step"])
                    )
