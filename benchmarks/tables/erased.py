"""Tables of EraseDiff: every digit, five digits in a row, every word, every class of Fashion-MNIST."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from erasediff_pipeline.data.class_names import names_in
from runs import ROOT, markdown, run_pipeline
from tables.spec import Cell, Chosen, Column, Limit, Table, at_least, at_most, grid, misses

QUALITY = ("forget_accuracy", "retain_accuracy", "fid", "precision", "recall")
BY_WORD = ("forget_accuracy", "forget_accuracy_erased_prompts", "forget_accuracy_synonyms")


def erase(environment: str, **parameters: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run ``unlearn``, and return ``metrics.json`` and the costs in ``run.json``."""
    run_pipeline("unlearn", environment, **parameters, **{"tracking.registered_model": "null"})
    folder = _reports(environment) / "erasediff"
    cost = json.loads((folder / "run.json").read_text())["cost"]
    return json.loads((folder / "metrics.json").read_text()), cost


def _reports(environment: str) -> Path:
    return ROOT / "data/08_reporting" / environment


def _before_and_after(metrics: dict[str, Any], *names: str) -> dict[str, float]:
    sides = {"base_": metrics["base"], "": metrics["erased"]}
    return {prefix + name: side[name] for name in names for prefix, side in sides.items()}


def _erase_digit(cell: Cell) -> list[dict[str, Any]]:
    metrics, cost = erase("sweep", **{"forget.classes": cell["digit"], "seed": cell["seed"]})
    ratio = round(metrics["erased"]["fid"] / metrics["base"]["fid"], 4)
    figures = _before_and_after(metrics, *QUALITY)
    return [cell | figures | {"fid_ratio": ratio, "unlearn_seconds": cost["wall_seconds"]}]


SWEEP_COLUMNS = (
    Column("digit", "digit", "d"),
    Column("seed", "seed", "d"),
    Column("forget accuracy", "forget_accuracy", ".3f"),
    Column("retain accuracy", "retain_accuracy", ".4f"),
    Column("FID before", "base_fid", ".2f"),
    Column("FID after", "fid", ".2f"),
    Column("ratio", "fid_ratio", ".3f"),
)
SWEEP_LIMITS = (
    at_most("forget accuracy", "forget_accuracy", 0.02),
    at_least("retain accuracy", "retain_accuracy", 0.99),
    at_most("FID", "fid_ratio", 1.1, " × the base model's"),
)
SWEEP = Table(
    target="sweep",
    file="sweep",
    environment="sweep",
    title="Ten digits, three seeds",
    text="Each run erases one digit from the same base model. The seed sets training and evaluation. The "
    "settings were tuned on digits other than 3 and 7.",
    axes={"digit": range(10), "seed": range(3)},
    run=_erase_digit,
    body=lambda rows: grid(rows.sort_values(["digit", "seed"]), SWEEP_COLUMNS, SWEEP_LIMITS),
)


def _erase_word(cell: Cell) -> list[dict[str, Any]]:
    metrics, cost = erase("tiny_text_to_image", **{"forget.prompts": cell["word"]})
    figures = _before_and_after(metrics, *BY_WORD, "retain_accuracy", "fid")
    return [cell | figures | {"unlearn_seconds": cost["wall_seconds"]}]


def _words_body(rows: pd.DataFrame) -> list[str]:
    lowest = rows[[f"base_{name}" for name in (*BY_WORD, "retain_accuracy")]].min().min()
    return [
        *grid(rows, WORD_COLUMNS, WORD_LIMITS),
        "",
        f"For the base model, these shares are at least {lowest:.3f}.",
    ]


WORD_COLUMNS = (
    Column("word", "word"),
    Column("forget accuracy, new prompts", "forget_accuracy", ".3f"),
    Column("used prompts", "forget_accuracy_erased_prompts", ".3f"),
    Column("synonym", "forget_accuracy_synonyms", ".3f"),
    Column("retain accuracy", "retain_accuracy", ".4f"),
    Column("FID before", "base_fid", ".2f"),
    Column("FID after", "fid", ".2f"),
    Column("seconds", "unlearn_seconds", ".0f"),
)
WORD_LIMITS = (
    at_most("forget accuracy, new prompts", "forget_accuracy", 0.02),
    at_most("used prompts", "forget_accuracy_erased_prompts", 0.02),
    at_most("synonym", "forget_accuracy_synonyms", 0.05),
    at_least("retain accuracy", "retain_accuracy", 0.98),
)
WORDS = Table(
    target="words",
    file="words",
    environment="tiny_text_to_image",
    title="A word erased from the small text-to-image model",
    text='Forget accuracy is measured with prompts that were not used to erase ("new prompts"), with those '
    'that were ("used prompts"), and with a synonym that the request does not name ("3" for "three").',
    axes={"word": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]},
    run=_erase_word,
    body=_words_body,
)


def _erase_class(cell: Cell) -> list[dict[str, Any]]:
    source = _reports("fashion_mnist") / "source.json"
    if not source.exists():
        sys.exit(f"{source} is missing: run `kedro run --env=fashion_mnist --pipeline=prepare` first")
    names = names_in(json.loads(source.read_text()))
    started = time.monotonic()
    metrics, _ = erase("fashion_mnist", **{"forget.classes": cell["label"]})
    seconds = round(time.monotonic() - started)
    figures = _before_and_after(metrics, *QUALITY)
    return [cell | {"class": names[cell["label"]]} | figures | {"run_seconds": seconds}]


FASHION_COLUMNS = (
    Column("class", "class"),
    Column("forget accuracy before", "base_forget_accuracy", ".3f"),
    Column("after", "forget_accuracy", ".3f"),
    Column("retain accuracy before", "base_retain_accuracy", ".4f"),
    Column("after", "retain_accuracy", ".4f"),
    Column("FID before", "base_fid", ".2f"),
    Column("after", "fid", ".2f"),
    Column("minutes", "run_seconds", ".1f", 1 / 60),
)
FASHION_LIMITS = (
    at_most("forget accuracy", "forget_accuracy", 0.03),
    Limit(
        "retain accuracy",
        "at most 0.01 below the base model's",
        lambda row: row["base_retain_accuracy"] - row["retain_accuracy"] <= 0.01 + 1e-9,
    ),
    Limit("FID", "≤ 1.1 × the base model's", lambda row: row["fid"] <= 1.1 * row["base_fid"]),
    Limit("time", "≤ 15 minutes", lambda row: row["run_seconds"] <= 15 * 60),
)
FASHION = Table(
    target="fashion-table",
    file="fashion_mnist",
    environment="fashion_mnist",
    title="A class erased from the Fashion-MNIST model",
    text="One seed per class. "
    "[docs/explanation/guidance-and-damage.md](../docs/explanation/guidance-and-damage.md) "
    "says how much the FID varies with the seed.",
    axes={"label": range(10)},
    run=_erase_class,
    body=lambda rows: grid(rows.sort_values("label"), FASHION_COLUMNS, FASHION_LIMITS),
)


def _in_a_row(chosen: Chosen, rows: pd.DataFrame) -> list[Cell]:
    """All of them: each run starts from the model that the run before it wrote."""
    return [{"digit": d, "base": "erasediff" if i else "base"} for i, d in enumerate(chosen["digit"])]


def _erase_next(cell: Cell) -> list[dict[str, Any]]:
    metrics, _ = erase("sweep", **{"base": cell["base"], "forget.classes": cell["digit"]})
    erased = metrics["erased"]
    kept = {key: erased[key] for key in ("retain_accuracy", "fid", "recall")}
    left = {f"forget_accuracy_{d}": share for d, share in erased["forget_accuracy_by_class"].items()}
    return [{"digit": cell["digit"], **kept, **left}]


def _sequence_body(rows: pd.DataFrame) -> list[str]:
    """How much is left of every digit erased so far, and what the last row misses."""
    digits = list(rows["digit"])
    names = {digit: f"forget_accuracy_{digit}" for digit in digits}
    cells = [
        [
            f"{row['digit']}",
            *("–" if pd.isna(row[name]) else f"{row[name]:.3f}" for name in names.values()),
            f"{row['retain_accuracy']:.4f}",
            f"{row['fid']:.2f}",
        ]
        for _, row in rows.iterrows()
    ]
    head = ["request", *(f"forget accuracy of {d}" for d in digits), "retain accuracy", "FID, retained"]
    limits = [at_most(f"forget accuracy of {digit}", name, 0.05) for digit, name in names.items()]
    last = misses(rows.iloc[-1], [*limits, at_least("retain accuracy", "retain_accuracy", 0.97)])
    return [
        *markdown(head, cells),
        "",
        "Limits after the last request: forget accuracy ≤ 0.05 for each digit, retain accuracy ≥ 0.97. "
        f"Missed: {last or 'none'}.",
    ]


SEQUENCE = Table(
    target="sequence",
    file="sequence",
    environment="sweep",
    title="Requests in a row",
    text="Each request starts from the model that the request before it wrote. After each request, every "
    "digit erased so far is measured. The limits are wider than those of a single request, since each "
    "request costs a little of what earlier ones reached.",
    axes={"digit": range(5)},
    run=_erase_next,
    body=_sequence_body,
    missing=_in_a_row,
    resumes=False,
)
