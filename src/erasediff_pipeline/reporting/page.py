"""Self-contained HTML pages."""

import base64
import io
from typing import Any

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure


def render_page(template: str, **values: Any) -> str:
    """Fill a template of ``templates/``; every value is escaped."""
    loader = PackageLoader("erasediff_pipeline.reporting", "templates")
    return Environment(loader=loader, autoescape=True).get_template(template).render(**values)


def embed(figure: Figure) -> str:
    """Encode a figure as a PNG data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
