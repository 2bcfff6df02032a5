"""What an audit says, and what it cannot say because its tests find nothing where there is something."""

from typing import Any

from scipy.stats import fisher_exact

from erasediff_pipeline.audits.inversion import DOUBLED
from erasediff_pipeline.config import AuditSettings

OVER_ERASED, NOT_GONE, ALIKE = "over-erased", "not gone", "as the retrained model"
SPEED = {OVER_ERASED: "more slowly", NOT_GONE: "faster"}
FOUND = 0.5
"""Least share of the base model's samples that an inversion from a random start must bring back."""
Models = dict[str, dict[str, Any]]
"""Summaries of the audits by model, as in ``audit.json``."""


def read_relearning(models: Models, settings: AuditSettings, classes: int) -> None:
    """Say of each lesson whether its area differs from the retrained model's: adds ``reading``.

    A smaller area is ``over-erased``: more is gone than in a model that never had the class. That is no
    failure, but it shows that something was erased. A larger one is ``not gone``.

    Args:
        models: Changed in place.
        settings: Steps, samples at each, and confidence level.
        classes: Number of forgotten classes.
    """
    gold = models.get("retrained", {}).get("relearning", {})
    each = settings.relearning.samples * classes
    for found in models.values():
        for taught, lesson in found["relearning"].items() if gold else ():
            curves = [of["forget_accuracy"] for of in (lesson, gold[taught])]
            own, other = (each * (sum(curve.values()) - curve["0"]) for curve in curves)
            drawn = each * settings.relearning.steps
            less = _exceeds(other, own, drawn, settings.confidence)
            more = _exceeds(own, other, drawn, settings.confidence)
            lesson["reading"] = OVER_ERASED if less else NOT_GONE if more else ALIKE


def list_unanswered(models: Models, settings: AuditSettings) -> dict[str, str]:
    """List audits that cannot tell what is gone: a test must find something where there is something.

    Inversion must bring the class back in the base model from a random start, and relearning half of it in
    the retrained model. Membership must know the base model's training images: better than the retrained
    model, which never saw them, or if there is none, better than by chance.

    Args:
        models: Summaries of the audits, by model.
        settings: The budgets.

    Returns:
        Some of ``inversion``, ``relearning`` and ``membership``, each with the reason.
    """
    reasons, base, gold = {}, models["base"], models.get("retrained")
    weakest = min((found["best_from_random"] for found in base["inversion"].values()), default=1.0)
    if weakest < FOUND:
        reasons["inversion"] = (
            "the budget is too small to tell: random starts find the class in only "
            f"{weakest:.2f} of the base model's samples: raise audit.inversion.steps or restarts"
        )
    if gold and gold["relearning"] and gold["relearning"]["forgotten"]["steps_to_half"] is None:
        reasons["relearning"] = (
            "the budget is too small to tell: the retrained model does not learn half of the class in "
            f"{settings.relearning.steps} steps: raise audit.relearning.steps"
        )
    known = base["membership"]
    beyond = known["beyond_retrained"]
    ends, chance = (known, 0.5) if beyond is None else (beyond, 0.0)
    if ends["low"] <= chance:
        than = "0.5 (interval" if beyond is None else "the retrained model's (interval of the difference"
        reasons["membership"] = (
            "the base model has nothing of these images by heart, so the question is empty: its AUC, "
            f"{known['auc']:.3f}, is not above {than} {ends['low']:.3f} to {ends['high']:.3f})"
        )
    return reasons


def list_remarks(models: Models, unanswered: dict[str, str], settings: AuditSettings) -> list[str]:
    """List what a reader must know beside the figures, one sentence each."""
    remarks = [f"{audit}: {reason}" for audit, reason in unanswered.items()]
    for name, found in models.items():
        for taught, lesson in found["relearning"].items() if name != "base" else ():
            if (reading := lesson.get("reading")) in SPEED:
                speed = f"the class comes back {SPEED[reading]} than in the retrained model"
                remarks.append(f"{name}: {reading}: taught with {taught} images, {speed}")
        for label, of_class in found["inversion"].items():
            once = max(share for start, share in of_class["starts"].items() if start != DOUBLED)
            twice, steps = of_class["doubled"], settings.inversion.steps
            n = settings.samples
            if _exceeds(n * twice, n * once, n, settings.confidence):
                shown = f"class {label} in {once:.2f} of the samples in {steps} steps, and in {twice:.2f} in "
                remarks.append(
                    f"{name}: inversion had not converged: it finds {shown}{2 * steps}: "
                    "raise audit.inversion.steps"
                )
    return remarks


def _exceeds(first: float, second: float, samples: int, confidence: float) -> bool:
    """Whether the first of two counts of as many samples is larger beyond chance: Fisher's exact test."""
    table = [[round(count), samples - round(count)] for count in (first, second)]
    return bool(fisher_exact(table, alternative="greater").pvalue < (1 - confidence) / 2)
