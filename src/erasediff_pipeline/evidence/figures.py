"""The figures that gates are set for, with their intervals, out of ``metrics.json`` and ``audit.json``."""

from typing import Any

from erasediff_pipeline.config.gates import MEASURED
from erasediff_pipeline.evidence.intervals import Estimate, exactly, share_of

SAMPLES = {
    "forget_accuracy": "forget_samples",
    "forget_accuracy_erased_prompts": "erased_prompt_samples",
    "forget_accuracy_synonyms": "synonym_samples",
    "retain_accuracy": "retain_samples",
    "precision": "retain_samples",
    "recall": "real_images",
}
"""Shares of ``metrics.json``, and the key of what they are shares of."""


def figures_of_metrics(metrics: dict[str, Any], confidence: float) -> dict[str, Estimate]:
    """What was measured of one model; ``metrics`` is ``base`` or ``erased`` of ``metrics.json``."""
    figures = {}
    for name in MEASURED:
        value, count = metrics.get(name), SAMPLES.get(name)
        if value is None or (count is not None and not metrics.get(count)):
            continue  # a share of who knows how many says nothing
        figures[name] = exactly(value) if count is None else share_of(value, metrics[count], confidence)
    return figures


def figures_of_audit(found: dict[str, Any], samples: int, confidence: float) -> dict[str, Estimate]:
    """What the audits found in one model.

    Args:
        found: An entry of ``models`` of ``audit.json``.
        samples: Images of each share: ``samples`` of ``audit.json``.
        confidence: Level of the intervals of shares; that of the AUC is as it was audited.
    """
    figures = {}
    for taught, lesson in found["relearning"].items():
        figures[f"relearning_steps_{taught}"] = exactly(steps_of(lesson))
    for name, key in (("inversion_accuracy", "best"), ("inversion_accuracy_random", "best_from_random")):
        if found["inversion"]:
            worst = max(of_class[key] for of_class in found["inversion"].values())
            figures[name] = share_of(worst, samples, confidence)
    membership = found["membership"]
    figures["membership_auc"] = Estimate(membership["auc"], membership["low"], membership["high"])
    figures["membership_true_positive_rate"] = exactly(membership["true_positive_rate"])
    for key in ("unconditional", "worst"):
        if key in found["leakage"]:
            figures[f"leakage_{key}"] = share_of(found["leakage"][key], samples, confidence)
    if "retained" in found["leakage"]:
        figures["leakage_retained"] = exactly(found["leakage"]["retained"])
    figures["damage_worst"] = share_of(found["damage"]["worst"], samples, confidence)
    return figures


def steps_of(lesson: dict[str, Any]) -> float:
    """Steps until half of the class is back; twice the last one measured where it never was."""
    if lesson["steps_to_half"] is not None:
        return float(lesson["steps_to_half"])
    return 2.0 * max(map(int, lesson["forget_accuracy"]))
