"""Comparison of methods: means and intervals over seeds, Pareto front."""

import math
from typing import Any

import pandas as pd
from scipy import stats

from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.experiments.distance import COUNTS, DISTANCES, GOLD, add_distances

COSTS = ["wall_seconds", "denoiser_evaluations", "peak_memory_bytes"]


def compared_metrics() -> list[str]:
    """Names of the metrics that are compared."""
    return [name for name, metric in METRICS.items() if metric.compared]


def half_width(values: pd.Series, confidence: float) -> float:
    """Half the width of Student's confidence interval of the mean, t·s/√n.

    t is the (1 + confidence)/2 quantile of Student's distribution with n − 1 degrees of freedom, s the sample
    standard deviation (Student, The probable error of a mean, Biometrika 6, 1908).

    Args:
        values: One value per seed; NaN is left out.
        confidence: Level of the interval, in (0, 1).

    Returns:
        In the unit of ``values``; NaN for fewer than two values.
    """
    values = values.dropna()
    n = len(values)
    if n < 2:
        return math.nan
    return float(stats.t.ppf((1 + confidence) / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))


def summarise(trials: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Summarise over seeds: one row per method, in order of appearance.

    Args:
        trials: One row per method and seed: ``method``, ``seed``, metrics, ``COUNTS``, ``COSTS``; NaN if not
            measured.
        confidence: Level of the intervals, for example 0.95.

    Returns:
        ``method``, ``seeds``, and for every metric, cost and distance (see ``add_distances``) its mean
        ``<name>`` and the half-width ``<name>_interval``.
    """
    trials = add_distances(trials)
    rows = []
    for method, group in trials.groupby("method", sort=False):
        row: dict[str, object] = {"method": method, "seeds": len(group)}
        for name in compared_metrics() + COSTS + DISTANCES:
            values = group[name].astype(float)
            row |= {name: values.mean(), f"{name}_interval": half_width(values, confidence)}
        rows.append(row)
    return pd.DataFrame(rows)


def tabulate_trials(
    rows: list[dict[str, Any]], confidence: float
) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, Any]]]:
    """Tabulate the trials of a comparison.

    Args:
        rows: One row per method and seed, see ``Trial``.
        confidence: Level of the intervals.

    Returns:
        Every trial; the summary over seeds, nearest to the retrained models first; and that as plain JSON.
    """
    read = [{name: METRICS[name].read(row) for name in compared_metrics()} for row in rows]
    rows = [row | figures for row, figures in zip(rows, read, strict=True)]
    table = pd.DataFrame(rows)[["method", "seed", *compared_metrics(), *COUNTS, *COSTS]]
    summary = summarise(table, confidence).sort_values("distance", kind="stable", ignore_index=True)
    methods = [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in summary.astype(object).to_dict("records")
    ]
    return table, summary, methods


def mark_front(summary: pd.DataFrame, by_ids: bool = False) -> pd.Series:
    """Mark the methods on the Pareto front of FID without guidance and what is left of the forgotten.

    Args:
        summary: From :func:`summarise`. The base model and the retrained one are references, never on the
            front.
        by_ids: Whether single images were forgotten: the membership AUC then counts, by its distance to 0.5.

    Returns:
        Boolean, by the summary's index.
    """
    methods = summary[~summary["method"].isin(["base", GOLD])]
    left = (methods["forget_membership_auc"] - 0.5).abs() if by_ids else methods["forget_accuracy"]
    return pareto_front(left, -methods["unguided_fid"]).reindex(summary.index, fill_value=False)


def pareto_front(forgotten: pd.Series, kept: pd.Series) -> pd.Series:
    """Mark the points that no other point beats in both, and strictly in one.

    Args:
        forgotten: Lower is better.
        kept: Higher is better.

    Returns:
        Boolean, by the index of ``forgotten``.
    """
    better = [
        any(
            (f <= own_f and k >= own_k) and (f < own_f or k > own_k)
            for f, k in zip(forgotten, kept, strict=True)
        )
        for own_f, own_k in zip(forgotten, kept, strict=True)
    ]
    return ~pd.Series(better, index=forgotten.index, dtype=bool)
