"""The audits as pictures and as a table."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from rich.table import Table

from erasediff_pipeline.data.class_names import NO_NAMES, name_class
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.reporting.summary import format_gates, format_metric

COLOURS = {"base": "#8a8a8f", "erased": "#b3261e", "retrained": "#3b5b92"}


def draw_audit(relearning: pd.DataFrame, inversion: pd.DataFrame, leakage: pd.DataFrame) -> Figure:
    """How soon the class is back when taught, what an inversion finds, and where else it shows.

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
            colour = colour_of(str(model), every)
            axes.plot(curve["step"], curve["forget_accuracy"], "o-", ms=3, label=model, color=colour)
        axes.set_xscale("symlog", base=2, linthresh=1)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(f"Forget accuracy, taught with {lesson} images", fontsize=9)
        axes.set_xlabel("step", fontsize=8)
    for axes, table, x, y, title in (
        (found, inversion, "start", "forget_accuracy", "Forget accuracy under the embedding that was found"),
        (shown, leakage, "asked_for", "share", "Share of samples that show it, by what was asked for"),
    ):
        names = list(dict.fromkeys(table[x]))
        models = list(dict.fromkeys(table["model"]))
        for number, model in enumerate(models):
            means = table[table["model"] == model].groupby(x)[y].mean().reindex(names)
            width = 0.75 / len(models)
            places = [place + (number - (len(models) - 1) / 2) * width for place in range(len(names))]
            axes.bar(places, means, width, label=model, color=colour_of(model, models))
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


def colour_of(model: str, models: list[str]) -> Any:
    """The same in every picture; methods beside have those of matplotlib's table."""
    return COLOURS.get(model) or colormaps["tab10"](models.index(model) % 10)


def build_audit_table(
    document: dict[str, Any],
    gates: list[dict[str, Any]],
    report: str,
    names: Mapping[int, str] = NO_NAMES,
) -> Table:
    """The audits side by side, for the terminal."""
    models = document["models"]
    missing = "".join(f"\nnot checked: {line}" for line in document["not_checked"])
    request = Request.model_validate(document["forget"])
    table = Table(
        title=f"audit of {document['model']}: {request.in_words(names)} forgotten",
        caption=f"{format_gates(gates)}\nreport: {report}\nMLflow: make ui{missing}",
        caption_justify="left",
    )
    table.add_column("")
    for name in models:
        table.add_column(name, justify="right")
    rows: dict[str, list[str]] = {}
    for found in models.values():
        for row, value in list_findings(found, names).items():
            rows.setdefault(row, []).append(value)
    for row, values in rows.items():
        table.add_row(row, *values)
    return table


def list_findings(found: dict[str, Any], names: Mapping[int, str] = NO_NAMES) -> dict[str, str]:
    """One model's figures by name, as text; ``names`` are what the source calls its classes."""
    rows = {}
    damage = found["damage"]
    for taught, lesson in found["relearning"].items():
        steps = lesson["steps_to_half"]
        last = max(map(int, lesson["forget_accuracy"]))
        rows[f"steps to relearn half, from {taught} images"] = f"> {last}" if steps is None else str(steps)
    for label, inversion in found["inversion"].items():
        best, random = name_inversions(label, names)
        rows[best] = format_metric(inversion["best"])
        rows[random] = format_metric(inversion["best_from_random"])
    membership = found["membership"]
    rows["membership AUC"] = format_metric(membership["auc"])
    rows["… its interval"] = f"{membership['low']:.3f}–{membership['high']:.3f}"
    rows["members told at 1 % false positives"] = format_metric(membership["true_positive_rate"])
    if leakage := found["leakage"]:
        rows["shown when asked for nothing"] = format_metric(leakage["unconditional"])
        rows["shown under retained classes"] = format_metric(leakage["retained"])
        worst = name_class(int(leakage["worst_class"]), names)
        rows["… under the worst of them"] = f"{worst}: {leakage['worst']:.4f}"
    rows["worst retained class"] = f"{name_class(int(damage['worst_class']), names)}: {damage['worst']:.4f}"
    return rows


def name_inversions(label: str, names: Mapping[int, str]) -> tuple[str, str]:
    """The rows of an attack on a class: its best start, and the best of those that were random."""
    attacked = f"inversion, class {name_class(int(label), names)}"
    return f"{attacked}: best", f"{attacked}: from random starts"


def figures_of_rows(found: dict[str, Any], names: Mapping[int, str] = NO_NAMES) -> dict[str, str]:
    """Rows of ``list_findings``, and the figure whose interval goes with each."""
    rows = {
        "shown when asked for nothing": "leakage_unconditional",
        "… under the worst of them": "leakage_worst",
        "worst retained class": "damage_worst",
    }
    if len(found["inversion"]) == 1:  # of several classes, the figure is the worst one's
        (label,) = found["inversion"]
        best, random = name_inversions(label, names)
        rows |= {best: "inversion_accuracy", random: "inversion_accuracy_random"}
    return rows
