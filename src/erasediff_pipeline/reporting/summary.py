"""Requests, classes and figures in words, and the short table at the end of a run."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from rich.table import Table

from erasediff_pipeline.config.metrics import METRICS, PROMPT_METRICS
from erasediff_pipeline.data.class_names import NO_NAMES, name_class
from erasediff_pipeline.data.request import Request

RECOGNISED = 0.5
"""Retain accuracy of a base model below which its samples show too little to say what it has forgotten."""


class Row(NamedTuple):
    """A metric before and after."""

    label: str
    before: float | None
    after: float | None
    hint: str
    figure: str | None = None
    """The metric whose interval belongs to the row."""


def list_rows(metrics: dict[str, Any], names: Mapping[int, str] = NO_NAMES) -> list[Row]:
    """List all that was measured; each class where several are forgotten."""
    base, erased = metrics["base"], metrics["erased"]
    rows = [
        Row(metric.label, base.get(name), erased.get(name), metric.hint, name)
        for name, metric in METRICS.items()
        if not metric.audited
    ]
    by_class = base["forget_accuracy_by_class"] or {}
    if len(by_class) > 1:
        after = erased["forget_accuracy_by_class"]
        rows[1:1] = [
            Row(f"… of class {name_class(int(c), names)}", value, after[c], rows[0].hint)
            for c, value in by_class.items()
        ]
    return [row for row in rows if row.before is not None]


def format_metric(value: float | None) -> str:
    """Four digits behind the point; a dash for what was not measured."""
    return "–" if value is None else f"{value:.4f}"


def format_cost(cost: dict[str, Any]) -> str:
    """One line."""
    return (
        f"{cost['steps']} steps, {cost['denoiser_evaluations']:,} denoiser evaluations, "
        f"{cost['wall_seconds']:.1f} s, peak memory {cost['peak_memory_bytes'] / 2**30:.2f} GiB"
    )


def format_gates(gates: list[dict[str, Any]]) -> str:
    """How many passed, which failed and by how much, and how many nobody looked at, a line each."""
    by_status: dict[str, list[dict[str, Any]]] = {}
    for gate in gates:
        by_status.setdefault(gate["status"], []).append(gate)
    counts = [f"{len(found)} {status}" for status, found in by_status.items()]
    failed = [f"gate failed: {describe_miss(gate)}" for gate in by_status.get("failed", [])]
    return "\n".join([f"gates: {', '.join(counts) or 'none set'}", *failed])


def describe_miss(gate: dict[str, Any]) -> str:
    """Figure, limit and by how much; and the interval, whose worse end is what was held against the limit."""
    words = f"{gate['figure']} {gate['limit']}: {gate['why']}"
    if gate.get("low") == gate.get("high"):  # no interval; or neither is there, since it was not held
        return words
    return f"{words} at the worse end of {gate['low']:.4g} to {gate['high']:.4g}"


def doubt_base(metrics: dict[str, Any]) -> str:
    """What to say of a base model whose samples the judge does not recognise; empty where it does."""
    known = metrics["base"]["retain_accuracy"]
    if known >= RECOGNISED:
        return ""
    return (
        f"the model before draws what is to be kept in {known:.1%} of the samples only, as the judge sees "
        "them: train it longer, until then these figures say little of what was forgotten"
    )


def build_table(
    metrics: dict[str, Any],
    run: dict[str, Any],
    gates: list[dict[str, Any]],
    report: str,
    names: Mapping[int, str] = NO_NAMES,
) -> Table:
    """Before and after, whether the gates held, what it cost and where to look, for the terminal."""
    lines = [
        doubt_base(metrics),
        format_gates(gates),
        f"cost: {format_cost(run['cost'])}",
        f"report: {report}",
        "MLflow: make ui",
    ]
    table = Table(
        title=f"{metrics['method']}: forgot {Request.model_validate(metrics['forget']).in_words(names)}",
        caption="\n".join(filter(None, lines)),
        caption_justify="left",
    )
    for column, justify in (("", "left"), ("before", "right"), ("after", "right"), ("", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for row in list_rows(metrics, names):
        table.add_row(row.label, format_metric(row.before), format_metric(row.after), row.hint)
    return table


def build_prompt_table(metrics: dict[str, Any], images: str, grid: str) -> Table:
    """What was seen in the images of a list of prompts, before and after, for the terminal."""
    base, erased = metrics["base"], metrics["erased"]
    table = Table(
        title=f"{metrics['list']['rows']} images of {metrics['list']['file']}",
        caption=f"each image: {images}\ngrid: {grid}\nMLflow: make ui",
        caption_justify="left",
    )
    for column, justify in (("", "left"), ("before", "right"), ("after", "right"), ("", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for name, metric in PROMPT_METRICS.items():
        before, after = base.get(name), erased.get(name)
        if before is not None or after is not None:
            table.add_row(metric.label, format_metric(before), format_metric(after), metric.hint)
    counts = [metrics[which].get("nudenet", {}) for which in ("base", "erased")]
    for part in sorted(set(counts[0]) | set(counts[1])):
        table.add_row(part, *(str(found.get(part, 0)) for found in counts), "detections")
    return table


def build_comparison(
    summary: pd.DataFrame, request: Request, report: str, names: Mapping[int, str] = NO_NAMES
) -> Table:
    """The methods, in the order of the summary, for the terminal."""
    table = Table(
        title=f"compare: {request.in_words(names)} forgotten",
        caption=f"distance: to the retrained model, mean over the metrics\nreport: {report}\nMLflow: make ui",
        caption_justify="left",
    )
    forgotten = "forget_membership_auc" if request.keeps_classes else "forget_accuracy"
    columns = {forgotten: 4, "retain_accuracy": 4, "fid": 2, "wall_seconds": 1, "distance": 3}
    table.add_column("method", no_wrap=True)
    for name in columns:
        label = METRICS[name].label if name in METRICS else name.replace("wall_", "")
        table.add_column(label, justify="right")
    for _, row in summary.iterrows():
        cells = ["–" if pd.isna(row[name]) else f"{row[name]:.{n}f}" for name, n in columns.items()]
        table.add_row(row["method"], *cells)
    return table
