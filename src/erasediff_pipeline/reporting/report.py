"""One self-contained HTML page a run."""

import base64
import io
import json
from typing import Any

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from erasediff_pipeline.reporting.audit import list_findings
from erasediff_pipeline.reporting.summary import format_cost, format_metric, list_rows, name_request


def render_report(
    evidence: dict[str, Any], grid: Figure, curves: Figure, audits: Figure | None = None
) -> str:
    """Fill in the page; pictures are embedded, every value is escaped, nothing is fetched.

    Args:
        evidence: ``evidence.json``: no figure on the page comes from elsewhere.
        grid: Samples before and after.
        curves: Of the training.
        audits: Curves of the audits, where the model was audited.
    """
    environment = Environment(
        loader=PackageLoader("erasediff_pipeline.reporting", "templates"), autoescape=True
    )
    rows = [
        {"name": name, "hint": hint, "before": format_metric(before), "after": format_metric(after)}
        for name, before, after, hint in list_rows(evidence["metrics"])
    ]
    findings = {which: list_findings(found) for which, found in (evidence["audits"] or {}).items()}
    return environment.get_template("report.html").render(
        evidence=evidence,
        base=evidence["metrics"]["base"],
        erased=evidence["metrics"]["erased"],
        request=name_request(evidence["request"]),
        rows=rows,
        findings=findings,
        cost=format_cost(evidence["cost"]),
        provenance=evidence["provenance"],
        audit_provenance=evidence["audit_provenance"],
        as_json=lambda value: json.dumps(value, indent=2, sort_keys=True),
        grid=embed(grid),
        curves=embed(curves),
        audits=audits and embed(audits),
        percent=lambda share: f"{100 * share:.1f} %",
        number=lambda value: "–" if value is None else f"{value:.4f}",
    )


def embed(figure: Figure) -> str:
    """A figure as a PNG data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
