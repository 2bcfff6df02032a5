"""Metrics and gates in words, and the tables at the end of a run."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from rich.table import Table

from erasediff_pipeline.config.metrics import METRICS, PROMPT_METRICS, Metric
from erasediff_pipeline.data.class_names import NO_NAMES, name_class
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.evaluation.classifiers.accuracy import RELIABLE
from erasediff_pipeline.evidence.gates import (
    FAILED,
    HELD,
    NOT_AUDITED,
    NOT_CHECKED,
    UNDECIDED,
    describe_gate,
    verdict,
)
from erasediff_pipeline.experiments.distance import reason_without_distance

RECOGNISED = 0.5
"""Lowest retain accuracy of a base model that allows conclusions about forgetting."""


class Row(NamedTuple):
    """A metric before and after."""

    label: str
    before: float | None
    after: float | None
    hint: str
    figure: str | None = None
    """The metric whose interval belongs to the row."""


def list_rows(metrics: dict[str, Any], names: Mapping[int, str] = NO_NAMES) -> list[Row]:
    """List all that was measured; if several classes are forgotten, each of them."""
    base, erased = metrics["base"], metrics["erased"]
    rows = [
        Row(metric.label, metric.read(base), metric.read(erased), _read_with(metric, base), name)
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


def _read_with(metric: Metric, of_model: dict[str, Any]) -> str:
    """How to read a metric; an accuracy also by that of the classifier, if it is weak."""
    if "accuracy" not in metric.name or not _is_weak(of_model):
        return metric.hint
    return f"{metric.hint}; the classifier's own is {of_model['classifier_accuracy']:.3f}"


def _is_weak(of_model: dict[str, Any]) -> bool:
    """Whether the classifier is known to be below ``RELIABLE``."""
    return of_model.get("classifier_accuracy", 1.0) < RELIABLE


def describe_classifier(of_model: dict[str, Any]) -> str:
    """Say how often the classifier is right; empty for figures of before this was measured."""
    if "classifier_accuracy" not in of_model:
        return ""
    return (
        f"the classifier assigns {of_model['classifier_accuracy']:.1%} of {of_model['classifier_images']} "
        "unseen real images to their class"
    )


def warn_of_weak_classifier(metrics: dict[str, Any]) -> str:
    """Warn of a classifier below ``RELIABLE``; empty if it is not."""
    base = metrics["base"]
    return (
        f"{describe_classifier(base)}: no accuracy here can be trusted above that" if _is_weak(base) else ""
    )


def format_metric(value: float | None) -> str:
    """Four decimals; a dash for what was not measured."""
    return "–" if value is None else f"{value:.4f}"


def describe_drawn(of_model: dict[str, Any], names: Mapping[int, str] = NO_NAMES) -> str:
    """Say what the forgotten conditions draw: the class, another one, or none; empty if not measured."""
    forgotten = of_model.get("forgotten", {})
    if forgotten.get("none") is None:
        return ""
    others = forgotten["other_classes"]
    most = f" (most often {name_class(int(max(others, key=others.get)), names)})" if others else ""
    return (
        f"the class {of_model['forget_accuracy']:.1%}, another class {forgotten['other_class']:.1%}{most}, "
        f"none of the classes {forgotten['none']:.1%}"
    )


def format_cost(cost: dict[str, Any]) -> str:
    """Format the cost as one line."""
    return (
        f"{cost['steps']} steps, {cost['denoiser_evaluations']:,} denoiser evaluations, "
        f"{cost['wall_seconds']:.1f} s, peak memory {cost['peak_memory_bytes'] / 2**30:.2f} GiB"
    )


def describe_verdict(gates: list[dict[str, Any]]) -> str:
    """Summarise the outcomes of the gates, and whether the model counts as erased."""
    count = Counter(gate["status"] for gate in gates)
    need_audit = sum(gate["why"].startswith(NOT_AUDITED) for gate in gates)
    unchecked = count[NOT_CHECKED] - need_audit
    checked = count[HELD] + count[FAILED] + count[UNDECIDED]
    missed = ", ".join(f"{count[s]} {s}" for s in (FAILED, UNDECIDED) if count[s])
    if missed:
        parts = [f"Of {checked} checked gates {missed}"]
    else:
        parts = ["All checked gates held" if checked else "No gate was checked"]
    if need_audit:
        parts.append("1 gate needs an audit" if need_audit == 1 else f"{need_audit} gates need an audit")
    if unchecked:
        parts.append("1 gate was not checked" if unchecked == 1 else f"{unchecked} gates were not checked")
    return f"{'; '.join(parts)}. Status: {'erased' if verdict(gates) == HELD else 'candidate'}."


def format_gates(gates: list[dict[str, Any]]) -> str:
    """Format the number of gates by status, each that failed or is undecided, and the verdict, on lines."""
    count = Counter(gate["status"] for gate in gates)
    counts = ", ".join(f"{number} {status}" for status, number in count.items()) or "none set"
    missed = [
        f"gate {gate['status']}: {describe_gate(gate)}"
        for gate in gates
        if gate["status"] in (FAILED, UNDECIDED)
    ]
    return "\n".join([f"gates: {counts}", *missed, describe_verdict(gates)])


def warn_of_weak_base(metrics: dict[str, Any]) -> str:
    """Warn of a base model whose samples the classifier does not recognise; empty if it does."""
    known = metrics["base"]["retain_accuracy"]
    if known >= RECOGNISED:
        return ""
    return (
        f"the classifier recognises only {known:.1%} of the base model's retained samples: train the base "
        "model longer; until then these figures say little about forgetting"
    )


def build_table(
    metrics: dict[str, Any],
    run: dict[str, Any],
    gates: list[dict[str, Any]],
    report: str,
    names: Mapping[int, str] = NO_NAMES,
) -> Table:
    """Build the table at the end of a run: before and after, gates, cost, where to look."""
    drawn = describe_drawn(metrics["erased"], names)
    lines = [
        warn_of_weak_classifier(metrics),
        warn_of_weak_base(metrics),
        drawn and f"the forgotten condition now draws: {drawn}",
        format_gates(gates),
        f"cost: {format_cost(run['cost'])}",
        f"report: {report}",
        "MLflow: make ui",
    ]
    table = Table(
        title=f"{metrics['method']}: forget {Request.model_validate(metrics['forget']).in_words(names)}",
        caption="\n".join(filter(None, lines)),
        caption_justify="left",
    )
    for column, justify in (("", "left"), ("before", "right"), ("after", "right"), ("", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for row in list_rows(metrics, names):
        table.add_row(row.label, format_metric(row.before), format_metric(row.after), row.hint)
    return table


def build_prompt_table(metrics: dict[str, Any], images: str, grid: str) -> Table:
    """Build the table of a list of prompts: what was found in its images, before and after."""
    base, erased = metrics["base"], metrics["erased"]
    table = Table(
        title=f"{metrics['list']['rows']} images of {metrics['list']['file']}",
        caption=f"images: {images}\ngrid: {grid}\nMLflow: make ui",
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
    """Build the table of a comparison, one row per method, in the order of the summary."""
    missing = reason_without_distance(summary)
    lines = [
        f"no distance: {missing}" if missing else "distance: to the retrained models, by their spread",
        f"report: {report}",
        "MLflow: make ui",
    ]
    table = Table(
        title=f"compare: {request.in_words(names)} forgotten",
        caption="\n".join(lines),
        caption_justify="left",
    )
    forgotten = "forget_membership_auc" if request.keeps_classes else "forget_accuracy"
    columns = {forgotten: 4, "retain_accuracy": 4, "unguided_retain_accuracy": 4, "fid": 2, "unguided_fid": 2}
    columns |= {"wall_seconds": 1, "distance": 1}
    table.add_column("method", no_wrap=True)
    for name in columns:
        label = METRICS[name].label if name in METRICS else name.replace("wall_", "")
        table.add_column(label, justify="right")
    for _, row in summary.iterrows():
        cells = ["–" if pd.isna(row[name]) else f"{row[name]:.{n}f}" for name, n in columns.items()]
        table.add_row(row["method"], *cells)
    return table
