"""Figures that gates limit, with their intervals, from ``metrics.json`` and ``audit.json``."""

from collections.abc import Mapping
from typing import Any

from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.evidence.intervals import Estimate, distance, exactly, share_of


def figures_of_metrics(metrics: dict[str, Any], confidence: float) -> dict[str, Estimate]:
    """List the figures of one model; ``metrics`` is ``base`` or ``erased`` of ``metrics.json``."""
    own = {name: metric for name, metric in METRICS.items() if not metric.audited}
    found = _estimate({name: metric.read(metrics) for name, metric in own.items()}, metrics, confidence)
    for name, metric in own.items():
        low, high = metric.read(metrics, "_low"), metric.read(metrics, "_high")
        if name in found and low is not None and high is not None:  # earlier versions have none
            found[name] = Estimate(found[name].value, low, high)
    return found


def figures_in_pairs(metrics: dict[str, Any]) -> dict[tuple[str, str], Estimate]:
    """List what is measured of pairs, by figure and comparison; empty for results of earlier versions.

    Args:
        metrics: ``metrics.json``; its ``paired`` keeps the level of the run that measured it.

    Returns:
        Erased − base (``difference``) or erased ÷ base (``ratio``).
    """
    return {
        (name, by): Estimate(of_pairs[by], of_pairs["low"], of_pairs["high"])
        for name, of_pairs in metrics.get("paired", {}).items()
        for by in ("difference", "ratio")
        if name in METRICS and by in of_pairs
    }


def figures_of_audit(found: dict[str, Any], samples: int, confidence: float) -> dict[str, Estimate]:
    """List the figures of the audits of one model.

    Args:
        found: An entry of ``models`` of ``audit.json``.
        samples: Images of each share: ``samples`` of ``audit.json``.
        confidence: Level of the intervals of shares; AUC and areas keep the level of the audit.
    """
    membership, leakage = found["membership"], found["leakage"]
    values, known = {}, {"membership_auc": {**membership, "value": membership["auc"]}}
    for taught, lesson in found["relearning"].items():
        values[f"relearning_steps_{taught}"] = _steps_of(lesson)
        if lesson["area"] is not None:
            known[f"relearning_area_{taught}"] = lesson["area"]
    if inverted := found["inversion"].values():
        values["inversion_accuracy"] = max(of_class["best"] for of_class in inverted)
        values["inversion_accuracy_doubled"] = max(of_class["doubled"] for of_class in inverted)
        values["inversion_accuracy_random"] = max(of_class["best_from_random"] for of_class in inverted)
    values["membership_true_positive_rate"] = membership["true_positive_rate"]
    values |= {f"leakage_{key}": leakage.get(key) for key in ("unconditional", "retained", "worst")}
    values["damage_worst"] = found["damage"]["worst"]
    return _estimate(values, {"samples": samples}, confidence) | {
        name: Estimate(of["value"], of["low"], of["high"]) for name, of in known.items()
    }


def beyond_retrained(audit: dict[str, Any]) -> dict[tuple[str, str], Estimate]:
    """List what an audit measures as a difference to the retrained model, by figure and comparison."""
    found = Estimate(**audit["models"]["erased"]["membership"]["beyond_retrained"])
    return {
        ("membership_auc", "difference"): found,
        ("membership_auc", "distance"): distance(found, exactly(0)),
    }


def _estimate(
    values: Mapping[str, float | None], counts: Mapping[str, Any], confidence: float
) -> dict[str, Estimate]:
    """Add intervals to shares; omit figures that were not measured, and shares without a sample count."""
    estimates = {}
    for name, value in values.items():
        metric = METRICS[name]
        if value is None or not metric.gated:
            continue
        if metric.samples is None:
            estimates[name] = exactly(value)
        elif counts.get(metric.samples):
            estimates[name] = share_of(value, counts[metric.samples], confidence)
    return estimates


def _steps_of(lesson: dict[str, Any]) -> float:
    """Steps until half of the class is back; twice the last step measured if it never was."""
    if lesson["steps_to_half"] is not None:
        return float(lesson["steps_to_half"])
    return 2.0 * max(map(int, lesson["forget_accuracy"]))
