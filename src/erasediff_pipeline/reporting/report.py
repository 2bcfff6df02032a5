"""The HTML report of a run, one self-contained page."""

import json
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.data.class_names import name_class
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.reporting.audit import list_findings
from erasediff_pipeline.reporting.page import embed, render_page
from erasediff_pipeline.reporting.summary import (
    describe_classifier,
    describe_drawn,
    describe_verdict,
    format_cost,
    format_metric,
    list_rows,
    warn_of_weak_base,
    warn_of_weak_classifier,
)

WARNINGS = (warn_of_weak_classifier, warn_of_weak_base)


def render_report(
    evidence: dict[str, Any],
    grid: Figure,
    curves: Figure,
    names: Mapping[int, str],
    audits: Figure | None = None,
) -> str:
    """Render the page: pictures are embedded, every value is escaped, nothing is fetched.

    Args:
        evidence: ``evidence.json``, the only source of figures.
        grid: Samples before and after.
        curves: Curves of the training.
        names: Names of the classes, by label.
        audits: Curves of the audits; None without an audit.
    """
    audited = evidence["audits"] or {}
    findings = {which: list_findings(found, names) for which, found in audited.items()}
    return render_page(
        "report.html",
        evidence=evidence,
        base=evidence["metrics"]["base"],
        erased=evidence["metrics"]["erased"],
        request=Request.model_validate(evidence["request"]).in_words(names),
        verdict=describe_verdict(evidence["gates"]),
        drawn={which: describe_drawn(found, names) for which, found in evidence["metrics"].items()},
        doubts=[*filter(None, (warn(evidence["metrics"]) for warn in WARNINGS))],
        classifier=describe_classifier(evidence["metrics"]["base"]),
        rows=list_rows(evidence["metrics"], names),
        metric=format_metric,
        label_of=lambda name: METRICS[name].label,
        intervals={which: _list_intervals(figures) for which, figures in evidence["figures"].items()},
        findings=findings,
        cost=format_cost(evidence["cost"]),
        provenance=evidence["provenance"],
        audit_provenance=evidence["audit_provenance"],
        name_class=lambda label: name_class(int(label), names),
        as_json=lambda value: json.dumps(value, indent=2, sort_keys=True),
        grid=embed(grid),
        curves=embed(curves),
        audits=audits and embed(audits),
        percent=lambda share: f"{100 * share:.1f} %",
        number=lambda value: "–" if value is None else f"{value:.4f}",
    )


def _list_intervals(figures: dict[str, dict[str, float]]) -> dict[str, str]:
    """The known intervals of one model, by figure."""
    return {
        name: f"{figure['low']:.4f} to {figure['high']:.4f}"
        for name, figure in figures.items()
        if figure["low"] is not None and figure["low"] != figure["high"]
    }
