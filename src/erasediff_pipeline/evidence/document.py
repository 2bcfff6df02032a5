"""``evidence.json``: all results of a run in one document, see ``docs/evidence.schema.json``."""

from math import isfinite
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from erasediff_pipeline.config import GateSettings
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.evidence.gates import LEFT_OUT, NOT_CHECKED, check_gates, list_figures, verdict

Figures = dict[str, float | int | str | dict[str, float | dict[str, float] | None] | None]


class Part(BaseModel):
    """Refuses unknown names, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class GateOutcome(Part):
    """A limit, and whether the figure is within it."""

    figure: str
    limit: str
    """In words, for example ``≤ 1.1 × base``."""

    status: Literal["held", "failed", "undecided", "not checked", "left out"]
    """``undecided``: the limit lies within the interval."""

    why: str
    value: float | None = None
    """The figure, or its difference, distance or ratio to the other model's."""

    low: float | None = None
    high: float | None = None
    pessimistic: float | None = None
    """The worse end of the interval."""

    by_how_much: float | None = None
    """Excess of the figure over the limit; negative within it."""


class Interval(Part):
    """A figure with its interval; null if it is not a number."""

    value: float | None
    low: float | None
    """The figure itself if there is no interval, as for steps."""

    high: float | None


class Cost(Part):
    """Cost of unlearning."""

    steps: int
    denoiser_evaluations: int
    wall_seconds: float
    peak_memory_bytes: int


class Evidence(Part):
    """Everything in the report."""

    schema_version: Literal[3] = 3
    method: str
    verdict: Literal["held", "failed", "undecided", "not checked"]
    """The first of ``failed``, ``undecided`` and ``not checked`` that a gate is; only ``held`` is erased."""

    enforced: bool
    """Whether a failed or undecided gate ends the run with status 1."""

    request: Request
    gates: list[GateOutcome]
    not_checked: list[str]
    """Figures and audits that were not checked, each with the reason."""

    confidence: float
    """Level of the intervals of shares. FID and pairs keep that of the run, the membership AUC that of the
    audit."""

    figures: dict[str, dict[str, Interval]]
    """Figures that may have gates, of each model by its name in ``audits``.

    If relearning never brought back half of the class, the figure is twice the last step measured.
    """

    metrics: dict[Literal["base", "erased"], Figures]
    audits: dict[str, dict[str, Any]] | None
    """Entries of ``audit.json`` for ``base``, ``erased``, ``retrained`` and other methods; null without an
    audit."""

    remarks: list[str] = []
    """What to know beside the figures of the audits, one sentence each."""

    hidden: bool
    """Whether the report leaves out images of forgotten classes."""

    cost: Cost
    provenance: dict[str, Any]
    """Hashes of base model, erased model, forget set and retain set, parameters, commit, packages, device…"""

    audit_provenance: dict[str, Any] | None
    """The same for the run that audited the model; null without an audit."""


def collect_evidence(
    metrics: dict[str, Any],
    run: dict[str, Any],
    audit: dict[str, Any] | None,
    settings: GateSettings,
    hide_forgotten: bool,
    audit_command: str,
    audit_provenance: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Collect ``metrics.json``, ``run.json``, ``audit.json`` if there is one, and the gates in one document.

    Args:
        metrics: ``metrics.json``.
        run: ``run.json``.
        audit: ``audit.json``; None without an audit.
        settings: The gates.
        hide_forgotten: Whether the report leaves out images of forgotten classes.
        audit_command: The command that audits the model.
        audit_provenance: Provenance of the audit.

    Raises:
        pydantic.ValidationError: A part does not match the schema.
    """
    request = Request.model_validate(metrics["forget"])
    gates = check_gates(settings, metrics, audit, audit_command)
    figures = list_figures(metrics, audit, settings.confidence)
    unchecked = [f"{g['figure']}: {g['why']}" for g in gates if g["status"] in (NOT_CHECKED, LEFT_OUT)]
    document = Evidence(
        method=metrics["method"],
        verdict=verdict(gates),  # type: ignore[arg-type]
        enforced=settings.enforce,
        request=request,
        gates=[GateOutcome(**gate) for gate in gates],
        not_checked=unchecked + (audit["not_checked"] if audit else [f"audits: {audit_command}"]),
        confidence=settings.confidence,
        figures={
            which: {name: Interval(**_without_nan(found._asdict())) for name, found in of_model.items()}
            for which, of_model in figures.items()
        },
        metrics={"base": _without_nan(metrics["base"]), "erased": _without_nan(metrics["erased"])},
        audits=_without_nan(audit["models"]) if audit else None,
        remarks=audit["remarks"] if audit else [],
        hidden=hide_forgotten and bool(request.forgotten_classes),
        cost=Cost(**run["cost"]),
        provenance=run["provenance"],
        audit_provenance=audit_provenance,
    )
    return document.model_dump(mode="json")


def _without_nan(value: Any) -> Any:
    """Replace NaN and infinity, which JSON cannot hold, by null; their gates have failed by then."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value
