"""The audits as pictures and as a table."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from rich.table import Table

from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.data.class_names import NO_NAMES, name_class
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.reporting.summary import format_gates, format_metric

INVERTED = {
    "inversion_accuracy": "best",
    "inversion_accuracy_doubled": "doubled",
    "inversion_accuracy_random": "best_from_random",
}
COLOURS = {"base": "#8a8a8f", "erased": "#b3261e", "retrained": "#3b5b92"}


def draw_audit(relearning: pd.DataFrame, inversion: pd.DataFrame, leakage: pd.DataFrame) -> Figure:
    """Plot relearning, inversion and leakage of every model.

    Args:
        relearning: ``model``, ``taught``, ``step``, ``forget_accuracy``.
        inversion: ``model``, ``label``, ``start``, ``forget_accuracy``.
        leakage: ``model``, ``asked_for``, ``share``.
    """
    figure = Figure(figsize=(10, 6.4), dpi=120)
    taught, kept, found, shown = figure.subplots(2, 2).flat
    for axes, lesson in ((taught, "forgotten"), (kept, "retained")):
        every = list(dict.fromkeys(relearning["model"]))
        for model, curve in relearning[relearning["taught"] == lesson].groupby("model", sort=False):
            colour = _choose_colour(str(model), every)
            axes.plot(curve["step"], curve["forget_accuracy"], "o-", ms=3, label=model, color=colour)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(f"Relearning from {lesson} images: forget accuracy", fontsize=9)
        axes.set_xlabel("step", fontsize=8)
    for axes, table, x, y, title in (
        (found, inversion, "start", "forget_accuracy", "Inversion: forget accuracy by start"),
        (shown, leakage, "asked_for", "share", "Leakage: share of samples that show the class"),
    ):
        names = list(dict.fromkeys(table[x]))
        models = list(dict.fromkeys(table["model"]))
        for number, model in enumerate(models):
            means = table[table["model"] == model].groupby(x)[y].mean().reindex(names)
            width = 0.75 / len(models)
            places = [place + (number - (len(models) - 1) / 2) * width for place in range(len(names))]
            axes.bar(places, means, width, label=model, color=_choose_colour(model, models))
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right", rotation_mode="anchor")
        axes.set_title(title, fontsize=9)
    found.set_ylim(0, 1.03)
    shown.set_ylim(0, max(0.2, 1.1 * leakage["share"].max()) if len(leakage) else 1)
    for axes in (taught, kept, found, shown):
        axes.tick_params(labelsize=8)
        axes.set_axisbelow(True)
        axes.grid(alpha=0.3)
    if len(relearning):
        taught.legend(fontsize=8)
    figure.tight_layout()
    return figure


def _choose_colour(model: str, models: list[str]) -> Any:
    """Choose the colour of a model, the same in every picture; other methods use matplotlib's ``tab10``."""
    return COLOURS.get(model) or colormaps["tab10"](models.index(model) % 10)


def build_audit_table(
    document: dict[str, Any],
    gates: list[dict[str, Any]],
    report: str,
    names: Mapping[int, str] = NO_NAMES,
) -> Table:
    """Build the terminal table of an audit, one column per model."""
    models = document["models"]
    missing = "".join(f"\nnot checked: {line}" for line in document["not_checked"])
    remarks = "".join(f"\n{line}" for line in document["remarks"])
    request = Request.model_validate(document["forget"])
    table = Table(
        title=f"audit of {document['model']}: {request.in_words(names)} forgotten",
        caption=f"{format_gates(gates)}\nreport: {report}\nMLflow: make ui{missing}{remarks}",
        caption_justify="left",
    )
    table.add_column("")
    for name in models:
        table.add_column(name, justify="right")
    rows: dict[str, list[str]] = {}
    for found in models.values():
        for finding in list_findings(found, names):
            rows.setdefault(finding.label, []).append(finding.text)
    for label, texts in rows.items():
        table.add_row(label, *texts)
    return table


class Finding(NamedTuple):
    """A row of the table of audits."""

    label: str
    text: str
    figure: str | None = None
    """The metric whose interval belongs to the row."""


def list_findings(found: dict[str, Any], names: Mapping[int, str] = NO_NAMES) -> list[Finding]:
    """List one model's figures; ``names`` are the names of the classes, by label."""
    rows = []
    for taught, lesson in found["relearning"].items():
        area = lesson["area"] or {"value": None}
        rows.append(_find(f"relearning_area_{taught}", format_metric(area["value"])))
        steps, last = lesson["steps_to_half"], max(map(int, lesson["forget_accuracy"]))
        rows.append(_find(f"relearning_steps_{taught}", f"> {last}" if steps is None else str(steps)))
    for label, inversion in found["inversion"].items():
        for name, key in INVERTED.items():
            row = _find(name, format_metric(inversion[key]))
            # With several classes, the figure is the worst one's.
            figure = row.figure if len(found["inversion"]) == 1 else None
            rows.append(Finding(f"{row.label}, class {name_class(int(label), names)}", row.text, figure))
    membership = found["membership"]
    rows += [
        Finding(METRICS["membership_auc"].label, format_metric(membership["auc"])),
        Finding("membership AUC, interval", f"{membership['low']:.3f}–{membership['high']:.3f}"),
        _find("membership_true_positive_rate", format_metric(membership["true_positive_rate"])),
    ]
    if leakage := found["leakage"]:
        rows += [
            _find(f"leakage_{key}", format_metric(leakage[key])) for key in ("unconditional", "retained")
        ]
        rows.append(_find("leakage_worst", _name_worst(leakage, names)))
    rows.append(_find("damage_worst", _name_worst(found["damage"], names)))
    return rows


def _find(name: str, text: str) -> Finding:
    return Finding(METRICS[name].label, text, name)


def _name_worst(found: dict[str, Any], names: Mapping[int, str]) -> str:
    return f"{name_class(int(found['worst_class']), names)}: {found['worst']:.4f}"
