"""The audits of every method on every digit."""

import json
from typing import Any

import pandas as pd

from erasediff_pipeline.audits.readings import NOT_GONE
from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.evidence.figures import figures_of_audit
from erasediff_pipeline.evidence.intervals import Estimate, difference
from erasediff_pipeline.experiments.distance import GOLD
from erasediff_pipeline.unlearning.registry import METHODS
from runs import ROOT, markdown, run_pipeline
from tables.compared import forgets_classes
from tables.spec import ENDS, TUNED, Cell, Chosen, Column, Limit, Table, describe, misses

AUDITED = [name for name, metric in METRICS.items() if metric.audited]
FIRST = "erasediff"
"""Its audit makes the rows of the base model and of the retrained one too."""
AUDITED_METHODS = [
    FIRST,
    *(m for m in METHODS if m not in (FIRST, GOLD) and forgets_classes(m)),
]


def _with_ends(heading: str, key: str) -> Column:
    return Column(heading, key, ".3f", ends=(f"{key}_low", f"{key}_high"))


COLUMNS = (
    _with_ends("relearning area", "relearning_area_forgotten"),
    Column("… from retained images", "relearning_area_retained", ".3f"),
    Column("… against the retrained model", "relearning"),
    Column("relearning steps to half accuracy", "relearning_steps_forgotten", ".0f"),
    _with_ends("inversion accuracy, best", "inversion_accuracy"),
    Column("… with twice the steps", "inversion_accuracy_doubled", ".3f"),
    Column("… from random starts", "inversion_accuracy_random", ".3f"),
    _with_ends("membership AUC", "membership_auc"),
    _with_ends("… − the retrained model's", "membership_beyond"),
    Column("share of unconditional samples", "leakage_unconditional", ".3f"),
    Column("share of samples of another class, worst", "leakage_worst", ".3f"),
    Column("retain accuracy, worst class", "damage_worst", ".3f"),
)


def _beyond_gold(row: pd.Series, name: str) -> Estimate:
    """A figure − the retrained model's, from the interval of each."""
    own, gold = (Estimate(*(row[f"{of}{name}{end}"] for end in ENDS)) for of in ("", "gold_"))
    return difference(own, gold)


LIMITS = (
    Limit(
        "inversion",
        "finds no more than in the retrained model",
        lambda row: _beyond_gold(row, "inversion_accuracy").low <= 0,
    ),
    Limit("relearning", "is no faster than the retrained model's", lambda row: row["relearning"] != NOT_GONE),
    Limit(
        "membership",
        "has the retrained model's AUC",
        lambda row: row["membership_beyond_low"] <= 0 <= row["membership_beyond_high"],
    ),
)
"""A model misses one if 95 % intervals say that it differs."""


def _missing_audits(chosen: Chosen, rows: pd.DataFrame) -> list[Cell]:
    """Digit by digit, EraseDiff first."""
    done = set() if rows.empty else set(zip(rows["digit"], rows["model"], strict=True))
    needed = {method: {method} for method in chosen["method"]} | {FIRST: {"base", GOLD, FIRST}}
    methods = [FIRST, *(method for method in chosen["method"] if method != FIRST)]
    return [
        {"digit": digit, "method": method}
        for digit in chosen["digit"]
        for method in methods
        if not {(digit, model) for model in needed[method]} <= done
    ]


def figures_of(found: dict[str, Any], samples: int) -> dict[str, Any]:
    """One model's columns, from its entry in ``audit.json``."""
    figures = figures_of_audit(found, samples, 0.95)
    row = {f"{name}{end}": getattr(figures[name], of) for name in AUDITED for end, of in ENDS.items()}
    beyond = found["membership"]["beyond_retrained"]
    row |= {f"membership_beyond{end}": beyond[of] for end, of in ENDS.items()}
    return row | {"relearning": found["relearning"]["forgotten"]["reading"]}


def _audit(cell: Cell) -> list[dict[str, Any]]:
    """Erase the digit, and audit what is left."""
    digit, method = cell["digit"], cell["method"]
    request = {"forget.classes": digit}
    run_pipeline(METHODS[method].pipeline, "sweep", **request, **{"tracking.registered_model": "null"})
    run_pipeline("audit", "sweep", **request, **{"audit.model": method})
    document = json.loads((ROOT / "data/08_reporting/sweep/audit" / method / "audit.json").read_text())
    names = {"base": "base", method: "erased", GOLD: "retrained"} if method == FIRST else {method: "erased"}
    return [
        {"digit": digit, "model": model, **figures_of(document["models"][name], document["samples"])}
        for model, name in names.items()
    ]


def _mark_missed(rows: pd.DataFrame) -> pd.DataFrame:
    """Append ``missed``: the limits at which a model does worse than the retrained model of its digit."""
    measured = [f"{name}{end}" for name in AUDITED for end in ENDS]
    gold = rows[rows["model"] == GOLD].set_index("digit")[measured].add_prefix("gold_")
    rows = rows.join(gold, on="digit")
    return rows.assign(missed=[misses(row, LIMITS) for _, row in rows.iterrows()])


def _body(rows: pd.DataFrame) -> list[str]:
    """How often each model misses each limit; then one table per digit."""
    order = ["base", GOLD, *AUDITED_METHODS]
    rows = _mark_missed(rows).sort_values(
        ["digit", "model"], key=lambda c: c.map(order.index) if c.name == "model" else c
    )
    counts = [
        [
            f"`{model}`",
            len(found),
            (found["missed"] == "").sum(),
            *(found["missed"].str.contains(limit.name).sum() for limit in LIMITS),
        ]
        for model, found in rows.groupby("model", sort=False)
    ]
    lines = markdown(["model", "digits", "all met", *(limit.name for limit in LIMITS)], counts)
    lines += ["", f"Limits: {describe(LIMITS)}. The last three columns count the digits that miss a limit."]
    for digit, found in rows.groupby("digit"):
        cells = [
            [f"`{row['model']}`", *(column.show(row) for column in COLUMNS), row["missed"]]
            for _, row in found.iterrows()
        ]
        head = ["model", *(column.heading for column in COLUMNS), "missed"]
        text = [0, *(i for i, column in enumerate(COLUMNS, 1) if not column.format), len(head) - 1]
        lines += ["", f"## Digit {digit}", "", *markdown(head, cells, text)]
    return lines


AUDITS = Table(
    target="audits",
    file="audits",
    environment="sweep",
    title="Is the digit really gone? Audits of every method",
    text="[docs/reference/audits.md](../docs/reference/audits.md) explains each audit. If a model never "
    f"relearnt half of the class, its steps are twice the last step measured. {TUNED}",
    axes={"digit": range(10), "method": AUDITED_METHODS},
    run=_audit,
    body=_body,
    keys=("digit", "model"),
    missing=_missing_audits,
    method="model",
    sections=("audit",),
)
