"""The comparison as pictures and as one page."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from erasediff_pipeline.config import CompareSettings
from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.data.class_names import NO_NAMES, name_class
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.experiments.comparison import compared_metrics, mark_front
from erasediff_pipeline.experiments.distance import GOLD, QUESTIONS, reason_without_distance
from erasediff_pipeline.reporting.figures import show_rows
from erasediff_pipeline.reporting.page import embed, render_page

SPECIAL = {"base": "#333333", GOLD: "#d4a017"}


def draw_trade_off(summary: pd.DataFrame, by_ids: bool = False) -> Figure:
    """Plot the FID of retained classes against what is left of the forgotten data, one point per method.

    The left plot is without guidance, and has the Pareto front; the right one is with guidance.

    Args:
        summary: From ``experiments.comparison``.
        by_ids: Whether single images were forgotten: the membership AUC then replaces the forget accuracy.
    """
    name = "forget_membership_auc" if by_ids else "forget_accuracy"
    figure = Figure(figsize=(12, 5), dpi=140)
    plain, guided = figure.subplots(1, 2, sharex=True)
    front = summary[mark_front(summary, by_ids)].sort_values(name)
    steps = front[name], front["unguided_fid"]
    plain.step(*steps, where="post", color="#999999", lw=1.2, zorder=1, label="Pareto front")
    for axes, fid in ((plain, "unguided_fid"), (guided, "fid")):
        _draw_methods(axes, summary, name, fid)
        axes.set_xlabel(f"{METRICS[name].label} ({METRICS[name].hint})")
    plain.set_ylabel("FID of the retained classes, no guidance (lower is better)")
    guided.set_ylabel("FID of the retained classes, at sampling.guidance_scale")
    handles, labels = plain.get_legend_handles_labels()
    guided.legend(handles, labels, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.tight_layout()
    return figure


def _draw_methods(axes: Axes, summary: pd.DataFrame, name: str, fid: str) -> None:
    """Draw a point with error bars for each method, at its ``name`` and its ``fid``."""
    methods = [method for method in summary["method"] if method not in SPECIAL]
    for _, row in summary.iterrows():
        marker, size = {"base": ("s", 7), GOLD: ("*", 15)}.get(row["method"], ("o", 7))
        axes.errorbar(
            row[name],
            row[fid],
            xerr=row[f"{name}_interval"],
            yerr=row[f"{fid}_interval"],
            fmt=marker,
            ms=size,
            color=SPECIAL.get(row["method"]) or colormaps["tab10"](methods.index(row["method"]) % 10),
            label=row["method"],
            capsize=3,
            lw=1,
            zorder=2,
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(LogFormatter())  # leaves out labels that would overlap
    axes.grid(alpha=0.3, which="both")
    axes.margins(0.12)


def draw_grids(
    samples: dict[str, LabelledImages],
    forgotten: list[int],
    columns: int,
    names: Mapping[int, str] = NO_NAMES,
) -> Figure:
    """Draw one grid per method, one row per class; equal places start from equal noise in every grid.

    Args:
        samples: By method.
        forgotten: Classes whose rows are framed.
        columns: Images of each class.
        names: Names of the classes, by label.
    """
    across = min(5, len(samples))
    down = -(-len(samples) // across)
    classes = next(iter(samples.values())).classes
    width, height = 0.22 * columns + 0.3, 0.24 * len(classes) + 0.4
    figure = Figure(figsize=(width * across, height * down), dpi=150)
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    framed = [label in forgotten for label in classes]
    for place, (axes, (method, drawn)) in enumerate(zip(panels, samples.items(), strict=False)):
        axes.set_title(method, fontsize=8)
        words = [name_class(label, names) if place % across == 0 else "" for label in classes]
        show_rows(axes, drawn, columns, words, framed, size=7)
    for axes in panels[len(samples) :]:
        axes.set_axis_off()
    figure.tight_layout()
    return figure


def render_comparison(
    summary: pd.DataFrame,
    request: Request,
    trade_off: Figure,
    grids: Figure,
    compare: CompareSettings,
    provenance: dict[str, Any],
    names: Mapping[int, str] = NO_NAMES,
    classifier: str = "",
) -> str:
    """Render the page: pictures are embedded, every value is escaped, nothing is fetched.

    ``classifier`` says how often the classifier is right, see ``describe_classifier``.
    """
    measured = [name for name in compared_metrics() if summary[name].notna().any()]
    asked = [name for name in QUESTIONS if name in measured]
    floor = summary.loc[summary["method"] == GOLD, "distance"].max()
    rivals = summary[~summary["method"].isin(["base", GOLD])]
    return render_page(
        "comparison.html",
        request=request.in_words(names),
        classifier=classifier,
        columns=[METRICS[name].label for name in measured],
        questions=[f"{QUESTIONS[name]}: {METRICS[name].label}" for name in asked],
        rows=[_describe_row(row, measured, asked) for _, row in summary.iterrows()],
        gold=GOLD,
        reason=reason_without_distance(summary),
        floor=with_interval(floor, digits=1),
        near=list(rivals.loc[rivals["distance"] <= floor, "method"]),
        seeds=summary["seeds"].max(),
        confidence=round(100 * compare.confidence),
        trade_off=embed(trade_off),
        grids=embed(grids),
        provenance={k: v for k, v in provenance.items() if k != "parameters"},
        parameters=json.dumps(provenance["parameters"], indent=2, sort_keys=True),
    )


def _describe_row(row: pd.Series, measured: list[str], asked: list[str]) -> dict[str, Any]:
    """Format one method for the page's tables."""
    return {
        "method": row["method"],
        "seeds": row["seeds"],
        "metrics": [with_interval(row[name], row[f"{name}_interval"]) for name in measured],
        "distances": [with_interval(row[f"{name}_distance"], digits=1) for name in asked],
        "distance": with_interval(row["distance"], row["distance_interval"], digits=1),
        "seconds": with_interval(row["wall_seconds"], digits=0),
        "evaluations": with_interval(row["denoiser_evaluations"], digits=0),
        "memory": with_interval(row["peak_memory_bytes"] / 2**30, digits=2),
    }


def with_interval(mean: float | None, half_width: float | None = None, digits: int = 3) -> str:
    """Format ``0.123 ± 0.004``; a dash for what was not measured."""
    if mean is None or pd.isna(mean):
        return "–"
    text = f"{mean:,.{digits}f}"
    return text if half_width is None or pd.isna(half_width) else f"{text} ± {half_width:,.{digits}f}"
