"""One self-contained HTML page a run."""

import base64
import io
import json
from typing import Any

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from erasediff_pipeline.reporting.summary import format_cost, format_metric, list_rows, name_request


def render_report(metrics: dict[str, Any], run: dict[str, Any], grid: Figure, curves: Figure) -> str:
    """Fill in the page; pictures are embedded, every value is escaped, nothing is fetched."""
    environment = Environment(
        loader=PackageLoader("erasediff_pipeline.reporting", "templates"), autoescape=True
    )
    rows = [
        {"name": name, "hint": hint, "before": format_metric(before), "after": format_metric(after)}
        for name, before, after, hint in list_rows(metrics)
    ]
    return environment.get_template("report.html").render(
        metrics=metrics,
        request=name_request(metrics["forget"]),
        rows=rows,
        cost=format_cost(run["cost"]),
        provenance=run["provenance"],
        parameters=json.dumps(run["provenance"]["parameters"], indent=2, sort_keys=True),
        grid=embed(grid),
        curves=embed(curves),
        percent=lambda share: f"{100 * share:.1f} %",
    )


def embed(figure: Figure) -> str:
    """A figure as a PNG data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
