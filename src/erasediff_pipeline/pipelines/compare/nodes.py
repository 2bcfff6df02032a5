"""Nodes of the comparison: one trial per method and seed, then one table, one plot, one page."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from erasediff_pipeline.config import (
    CompareSettings,
    ReportSettings,
)
from erasediff_pipeline.config.deciding import settings_of
from erasediff_pipeline.data.class_names import names_of
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.evaluation.bench import Bench
from erasediff_pipeline.evaluation.classifiers.accuracy import measure_accuracy
from erasediff_pipeline.experiments.comparison import tabulate_trials
from erasediff_pipeline.experiments.distance import GOLD, reason_without_distance
from erasediff_pipeline.experiments.store import TrialStore
from erasediff_pipeline.experiments.trials import Trial, try_base, try_method
from erasediff_pipeline.reporting.comparison import draw_grids, draw_trade_off, render_comparison
from erasediff_pipeline.reporting.summary import describe_classifier
from erasediff_pipeline.tracking.comparison import log_methods
from erasediff_pipeline.tracking.outbox import Outbox
from erasediff_pipeline.tracking.provenance import describe_provenance
from erasediff_pipeline.unlearning.registry import METHODS, reason_to_leave_out
from erasediff_pipeline.workspace import Workspace

logger = logging.getLogger(__name__)
Trials = list[Trial]


def try_base_model(bench: Bench, store: TrialStore, compare: CompareSettings, seed: int) -> Trials:
    """Evaluate the base model once for each seed."""
    return [try_base(bench, store, s) for s in range(seed, seed + compare.seeds)]


def try_each_seed(method: str) -> Callable:
    """Node that trains and evaluates one method once for each seed; ``retrain`` may have more seeds."""
    entry = METHODS[method]

    def attempt(
        bench: Bench,
        store: TrialStore,
        compare: CompareSettings,
        settings: entry.settings,  # type: ignore[name-defined]
        seed: int,
        workspace: Workspace,
    ) -> Trials:
        """Return the method's trials; none if the comparison excludes the method."""
        if compare.methods is not None and method not in compare.methods:
            return []
        if reason := reason_to_leave_out(method, bench.task.request, bench.base_model.pipeline):
            logger.warning("%s is left out: %s", method, reason)
            return []
        count = max(compare.seeds, compare.retrained_seeds) if method == GOLD else compare.seeds
        if count > compare.seeds:
            logger.info("%s: %d models of %d steps, for the distance", method, count, settings.steps)
        seeds = range(seed, seed + count)
        return [try_method(bench, store, workspace, method, settings, s) for s in seeds]

    return attempt


def tabulate(
    bench: Bench, compare: CompareSettings, *trials: Trials
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Tabulate every trial and the summary over seeds; return the summary as JSON, too."""
    rows = [trial.row for of_method in trials for trial in of_method]
    table, summary, methods = tabulate_trials(rows, compare.confidence)
    if reason := reason_without_distance(summary):
        logger.info("no distance to the retrained models: %s", reason)
    return table, summary, {"forget": bench.task.request.to_json(), "methods": methods}


def report_comparison(
    summary: pd.DataFrame,
    bench: Bench,
    compare: CompareSettings,
    report: ReportSettings,
    parameters: dict[str, Any],
    manifest: pd.DataFrame,
    *trials: Trials,
) -> tuple[Figure, Figure, str]:
    """Draw the trade-off and the grids of the first seed; render one page with both and the table."""
    request, names = bench.task.request, names_of(manifest)
    samples = {t[0].row["method"]: t[0].samples for t in trials if t}
    forgotten = request.forgotten_classes
    if report.hide_forgotten:
        samples = {m: drawn.select(~np.isin(drawn.labels, forgotten)) for m, drawn in samples.items()}
        forgotten = []
    grids = draw_grids(samples, forgotten, report.grid_columns, names)
    trade_off = draw_trade_off(summary, by_ids=request.keeps_classes)
    sections = [METHODS[name].parameters for name in samples if name in METHODS]
    provenance = {
        "base_model_sha256": hash_pipeline(bench.base_model.pipeline),
        "forget_sha256": request.forget_sha256,
        "retain_sha256": request.retain_sha256,
        **describe_provenance(settings_of(parameters, *sections)),
    }
    known = describe_classifier(measure_accuracy(bench.classifier, bench.task.images, bench.task.manifest))
    page = render_comparison(summary, request, trade_off, grids, compare, provenance, names, known)
    return trade_off, grids, page


def track_methods(summary: pd.DataFrame, parameters: dict[str, Any], outbox: Outbox, *trials: Trials) -> None:
    """Log one MLflow run for each method, below the run of the comparison."""
    curves = {t[0].row["method"]: t[0].curves for t in trials if t}
    log_methods(summary, parameters, curves, outbox)
