"""Gates: compare the interval of each figure with its limit."""

from math import isfinite
from typing import Any

from erasediff_pipeline.config.gates import LIMITS, Gate, GateSettings
from erasediff_pipeline.config.metrics import METRICS, Metric
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.evidence.figures import (
    beyond_retrained,
    figures_in_pairs,
    figures_of_audit,
    figures_of_metrics,
)
from erasediff_pipeline.evidence.intervals import Estimate, difference, distance, ratio

HELD, FAILED, UNDECIDED = "held", "failed", "undecided"
NOT_CHECKED, LEFT_OUT = "not checked", "left out"
NOT_AUDITED = "not audited yet"
DRAWN = 0.5
"""Least forget accuracy of the base model: who never drew the class has not forgotten it."""
COMPARISONS = {"difference": difference, "distance": distance, "ratio": ratio}
Figures = dict[str, dict[str, Estimate]]
"""Figures by name, for each model (``base``, ``erased``, ``retrained``)."""
Pairs = dict[tuple[str, str], Estimate]
"""Figures of pairs, by name and comparison, see ``figures_in_pairs``."""


def list_figures(metrics: dict[str, Any], audit: dict[str, Any] | None, confidence: float) -> Figures:
    """List every figure of every model; without an audit, only those of ``metrics.json``."""
    figures = {which: figures_of_metrics(metrics[which], confidence) for which in ("base", "erased")}
    if audit is None:
        return figures
    for which, found in audit["models"].items():
        figures.setdefault(which, {}).update(figures_of_audit(found, audit["samples"], confidence))
    return figures


def check_gates(
    settings: GateSettings,
    metrics: dict[str, Any],
    audit: dict[str, Any] | None = None,
    audit_command: str = "kedro run --pipeline=audit",
) -> list[dict[str, Any]]:
    """Compare the erased model's figures with their limits; figures with a default limit always appear.

    A gate is ``held`` if the worse end of the interval keeps the limit, ``failed`` if the better end misses
    it, and ``undecided`` if the limit lies between them. A figure that is missing or not a number fails its
    gate. A gate is ``not checked`` if there is no audit, no retrained model or no limit, and ``left out`` if
    a request of this kind does not have the figure. What was measured of pairs is compared in pairs.

    Args:
        settings: The limits.
        metrics: ``metrics.json``.
        audit: ``audit.json``, if the model has been audited.
        audit_command: The command that audits it.

    Returns:
        One dictionary per gate: ``figure``, ``limit`` in words, ``status``, ``why``; and, if the figure was
        compared with its limit, ``value``, ``low``, ``high`` (of the figure, or of its difference, distance
        or ratio to the other model's), ``pessimistic``, the worse end, and ``by_how_much``, the excess of
        ``value`` over the limit.
    """
    figures, pairs = list_figures(metrics, audit, settings.confidence), figures_in_pairs(metrics)
    request = Request.model_validate(metrics["forget"])
    gates = settings.limits | {name: None for name in LIMITS if name not in settings.limits}
    return [
        {
            "figure": name,
            "limit": _describe_limit(gate),
            **_doubt(name, _check_gate(name, gate, figures, pairs, request, audit, audit_command), audit),
        }
        for name, gate in gates.items()
    ]


def _check_gate(
    name: str,
    gate: Gate | None,
    figures: Figures,
    pairs: Pairs,
    request: Request,
    audit: dict[str, Any] | None,
    audit_command: str,
) -> dict[str, Any]:
    """Return one gate's ``status`` and ``why``, and the numbers that it compares."""
    if reason := _reason_to_leave_out(name, request, audit):
        return {"status": LEFT_OUT, "why": reason}
    if gate is None:
        return {"status": NOT_CHECKED, "why": f"no limit in gates.limits.{name}"}
    if METRICS[name].audited and audit is None:
        return {"status": NOT_CHECKED, "why": f"{NOT_AUDITED}: {audit_command}"}
    if gate.of == "retrained" and "retrained" not in figures:
        return {"status": NOT_CHECKED, "why": "there is no retrained model to compare with"}
    found = figures["erased"].get(name)
    if found is None:
        return {"status": FAILED, "why": "the figure is missing"}
    if gate.of is not None:
        other = figures[gate.of].get(name)
        if other is None:
            return {"status": FAILED, "why": f"the figure of the {gate.of} model is missing"}
        in_pairs = pairs.get((name, gate.by)) if gate.of == "base" else None
        if gate.by == "ratio" and other.low <= 0:
            return _compare_with_zero(gate, found, other)
        if audit and gate.of == "retrained":
            in_pairs = beyond_retrained(audit).get((name, gate.by))
        found = in_pairs or COMPARISONS[gate.by](found, other)
    outcome = _compare(gate, found, METRICS[name])
    before = figures["base"].get(name)
    if name.startswith("forget_accuracy") and outcome["status"] == HELD and before and before.value < DRAWN:
        why = f"the base model draws the class in only {before.value:.2f} of its samples: pretrain it longer"
        return {"status": NOT_CHECKED, "why": why}
    return outcome


def _compare_with_zero(gate: Gate, found: Estimate, other: Estimate) -> dict[str, Any]:
    """Check a ratio to a figure that is 0 or may be 0; any multiple of 0 is 0.

    A retrained model that draws the class without being taught needs 0 steps to relearn it.
    """
    why = f"the figure of the {gate.of} model is {other.value:g}: no ratio"
    reached = found.low >= 0 if gate.at_least is not None else found.high <= 0
    return {"status": HELD if other.low == other.high == 0 and reached else FAILED, "why": why}


def _compare(gate: Gate, found: Estimate, metric: Metric) -> dict[str, Any]:
    """Compare both ends of the interval with the limit."""
    if gate.at_most is not None:
        limit, sign, worse, better = gate.at_most, 1, found.high, found.low
    else:
        assert gate.at_least is not None
        limit, sign, worse, better = gate.at_least, -1, found.low, found.high
    if not all(map(isfinite, found)):
        return {"status": FAILED, "why": "the figure is not a number"}
    excess = sign * (found.value - limit)
    numbers = {**found._asdict(), "pessimistic": worse, "by_how_much": excess}
    rounded = {key: float(f"{number:.6g}") for key, number in numbers.items()}
    if sign * (worse - limit) <= 0:
        return {"status": HELD, "why": "", **rounded}
    if sign * (better - limit) <= 0:
        why = f"the limit lies within the interval{_remedy(metric)}"
        return {"status": UNDECIDED, "why": why, **rounded}
    amount = f"{excess:.4f}" if excess >= 0.001 else f"{excess:.2g}"
    return {"status": FAILED, "why": f"missed by {amount}", **rounded}


def _remedy(metric: Metric) -> str:
    """Name the setting that narrows the interval, if there is one."""
    if not metric.audited:
        return ": raise evaluation.max_samples"
    return ": raise audit.samples" if metric.samples else ""


def _reason_to_leave_out(name: str, request: Request, audit: dict[str, Any] | None) -> str | None:
    """Return why a request of this kind does not have the figure, or its question is empty; else None."""
    kinds = METRICS[name].kinds
    if request.by not in kinds:
        return f"only a request by {' or '.join(kinds)} has it"
    return _unanswered(name, audit) if name.startswith("membership_") else None


def _doubt(name: str, outcome: dict[str, Any], audit: dict[str, Any] | None) -> dict[str, Any]:
    """Let no gate be kept by an audit that could not have found anything; a failure stands."""
    if outcome["status"] in (FAILED, NOT_CHECKED, LEFT_OUT) or (reason := _unanswered(name, audit)) is None:
        return outcome
    return {"status": NOT_CHECKED, "why": reason}


def _unanswered(name: str, audit: dict[str, Any] | None) -> str | None:
    """Return why the audit that measures a figure cannot tell what is gone; None if it can."""
    return audit["unanswered"].get(name.partition("_")[0]) if audit and METRICS[name].audited else None


def _describe_limit(gate: Gate | None) -> str:
    """Write the limit in words, for example ``≤ 1.1 × base``."""
    if gate is None:
        return "none"
    sign, limit = ("≤", gate.at_most) if gate.at_most is not None else ("≥", gate.at_least)
    if gate.of is None:
        return f"{sign} {limit:g}"
    if gate.by == "ratio":
        return f"{sign} {limit:g} × {gate.of}"
    if gate.by == "distance":
        return f"within {limit:g} of {gate.of}"
    return (
        f"{sign} {gate.of}" if not limit else f"{sign} {gate.of} {'+' if limit > 0 else '−'} {abs(limit):g}"
    )


def verdict(gates: list[dict[str, Any]]) -> str:
    """The first of ``failed``, ``undecided`` and ``not checked`` that a gate is; ``held`` if all are held."""
    found = {gate["status"] for gate in gates} - {LEFT_OUT}
    for status in (FAILED, UNDECIDED, NOT_CHECKED):
        if status in found:
            return status
    return HELD if found else NOT_CHECKED


def describe_gate(gate: dict[str, Any]) -> str:
    """Describe a gate that is not held: figure, limit, why, and the interval if there is one."""
    words = f"{gate['figure']} {gate['limit']}: {gate['why']}"
    if gate.get("low") == gate.get("high"):  # no interval; or neither is there, since it was not checked
        return words
    return f"{words} (interval {gate['low']:.4g} to {gate['high']:.4g})"
