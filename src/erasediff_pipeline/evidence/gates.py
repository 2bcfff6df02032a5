"""Gates: compare the pessimistic end of each figure's interval with its limit."""

from math import isfinite
from typing import Any

from erasediff_pipeline.config.gates import LIMITS, Gate, GateSettings
from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.evidence.figures import beyond_retrained, figures_of_audit, figures_of_metrics
from erasediff_pipeline.evidence.intervals import Estimate, difference, distance, ratio

PASSED, FAILED, NOT_CHECKED, LEFT_OUT = "passed", "failed", "not checked", "left out"
NOT_AUDITED = "not audited yet"
COMPARISONS = {"difference": difference, "distance": distance, "ratio": ratio}
Figures = dict[str, dict[str, Estimate]]
"""Figures by name, for each model (``base``, ``erased``, ``retrained``)."""


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

    A figure that is missing or not a number fails its gate. A gate is ``not checked`` if there is no audit,
    no retrained model or no limit, and ``left out`` if a request of this kind does not have the figure.

    Args:
        settings: The limits.
        metrics: ``metrics.json``.
        audit: ``audit.json``, if the model has been audited.
        audit_command: The command that audits it.

    Returns:
        One dictionary per gate: ``figure``, ``limit`` in words, ``status``, ``why``; and, if the figure was
        compared with its limit, ``value``, ``low``, ``high`` (of the figure, or of its difference, distance
        or ratio to the other model's), ``pessimistic``, and ``by_how_much``, positive if the limit is missed.
    """
    figures = list_figures(metrics, audit, settings.confidence)
    request = Request.model_validate(metrics["forget"])
    gates = settings.limits | {name: None for name in LIMITS if name not in settings.limits}
    return [
        {
            "figure": name,
            "limit": _describe_limit(gate),
            **_doubt(name, _check_gate(name, gate, figures, request, audit, audit_command), audit),
        }
        for name, gate in gates.items()
    ]


def _check_gate(
    name: str,
    gate: Gate | None,
    figures: Figures,
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
        if gate.by == "ratio" and other.low <= 0:
            return _compare_with_zero(gate, found, other)
        pairs = beyond_retrained(audit) if audit and gate.of == "retrained" else {}
        found = pairs.get((name, gate.by)) or COMPARISONS[gate.by](found, other)
    return _compare(gate, found)


def _compare_with_zero(gate: Gate, found: Estimate, other: Estimate) -> dict[str, Any]:
    """Check a ratio to a figure that is 0 or may be 0; any multiple of 0 is 0.

    A retrained model that draws the class without being taught needs 0 steps to relearn it.
    """
    why = f"the figure of the {gate.of} model is {other.value:g}: no ratio"
    reached = found.low >= 0 if gate.at_least is not None else found.high <= 0
    return {"status": PASSED if other.low == other.high == 0 and reached else FAILED, "why": why}


def _compare(gate: Gate, found: Estimate) -> dict[str, Any]:
    """Compare the pessimistic end of the interval with the limit."""
    if gate.at_most is not None:
        pessimistic, excess = found.high, found.high - gate.at_most
    else:
        assert gate.at_least is not None
        pessimistic, excess = found.low, gate.at_least - found.low
    if not all(map(isfinite, (*found, excess))):
        return {"status": FAILED, "why": "the figure is not a number"}
    numbers = {**found._asdict(), "pessimistic": pessimistic, "by_how_much": excess}
    rounded = {key: float(f"{number:.6g}") for key, number in numbers.items()}
    amount = f"{excess:.4f}" if excess >= 0.001 else f"{excess:.2g}"
    why = f"missed by {amount}" if excess > 0 else ""
    return {"status": FAILED if excess > 0 else PASSED, "why": why, **rounded}


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
    """``failed`` if a gate failed; ``not checked`` if one was not checked or none is set; else ``passed``."""
    found = {gate["status"] for gate in gates} - {LEFT_OUT}
    if FAILED in found:
        return FAILED
    return PASSED if found == {PASSED} else NOT_CHECKED
