"""Tables of EraseDiff: digits, one by one, at once and in a row; single images; words; Fashion-MNIST."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.data.class_names import names_of
from runs import ROOT, markdown, run_pipeline
from tables.spec import (
    ENDS,
    REPORTED,
    TUNED,
    Cell,
    Chosen,
    Column,
    Limit,
    Table,
    at_most,
    describe,
    grid,
    kept,
    misses,
)

GUIDED = ("retain_accuracy", "fid", "precision", "recall")
RETAINED = (*GUIDED, *(f"unguided_{name}" for name in GUIDED))
BY_WORD = ("forget_accuracy", "forget_accuracy_erased_prompts", "forget_accuracy_synonyms")
INTERVALS = ("fid", "unguided_fid")
KEPT_COLUMNS = (
    Column("retain accuracy before", "base_retain_accuracy", ".3f"),
    Column("after", "retain_accuracy", ".3f"),
    Column("no guidance before", "base_unguided_retain_accuracy", ".3f"),
    Column("after", "unguided_retain_accuracy", ".3f"),
    Column("FID before", "base_fid", ".2f"),
    Column("after ÷ before", "fid_ratio", ".2f", ends=("fid_ratio_low", "fid_ratio_high")),
    Column("no guidance before", "base_unguided_fid", ".2f"),
    Column(
        "after ÷ before",
        "unguided_fid_ratio",
        ".2f",
        ends=("unguided_fid_ratio_low", "unguided_fid_ratio_high"),
    ),
    Column("precision, forgotten", "forgotten_precision", ".2f"),
    Column("base's, retained", "base_precision", ".2f"),
)
KEPT_LIMITS = (
    kept("retain accuracy", "retain_accuracy"),
    kept("retain accuracy without guidance", "unguided_retain_accuracy"),
    Limit("FID ÷ the base model's", "(lower end) ≤ 1.10", lambda row: row["fid_ratio_low"] <= 1.1),
    Limit("the same without guidance", "≤ 1.10", lambda row: row["unguided_fid_ratio_low"] <= 1.1),
    Limit(
        "precision of the forgotten condition",
        "≥ 0.9 × the base model's on retained classes",
        lambda row: row["forgotten_precision"] >= 0.9 * row["base_precision"],
    ),
)
"""With the guidance of the environment, and without."""


def erase(environment: str, **parameters: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run ``unlearn``, and return ``metrics.json`` and the costs in ``run.json``.

    Each run draws once: FIDs of different numbers of samples cannot be compared.
    """
    once = {"tracking.registered_model": "null", "evaluation.max_samples": 1}
    run_pipeline("unlearn", environment, **parameters, **once)
    folder = _reports(environment) / "erasediff"
    cost = json.loads((folder / "run.json").read_text())["cost"]
    return json.loads((folder / "metrics.json").read_text()), cost


def _reports(environment: str) -> Path:
    return ROOT / "data/08_reporting" / environment


def _before_and_after(metrics: dict[str, Any], *names: str) -> dict[str, float | None]:
    sides = {"base_": metrics["base"], "": metrics["erased"]}
    return {prefix + name: METRICS[name].read(side) for name in names for prefix, side in sides.items()}


def measured(metrics: dict[str, Any], *forgotten: str) -> dict[str, float | None]:
    """What a row keeps: figures before and after, and FID ÷ the base model's with its interval."""
    found = _before_and_after(metrics, *forgotten, *RETAINED)
    found["forgotten_precision"] = METRICS["forgotten_precision"].read(metrics["erased"])
    found |= _ratios(metrics)
    return found | {key: metrics["erased"][key] for key in ("forget_samples", "retain_samples")}


def _ratios(metrics: dict[str, Any]) -> dict[str, float | None]:
    """FID ÷ the base model's, with its interval."""
    found: dict[str, float | None] = {}
    for name in INTERVALS:
        of_pairs = metrics["paired"].get(name, {})
        found[f"{name}_ratio"] = of_pairs.get("ratio")
        found |= {f"{name}_ratio_{end}": of_pairs.get(end) for end in ("low", "high")}
    return found


def body_of(rows: pd.DataFrame, columns: Sequence[Column], limits: Sequence[Limit]) -> list[str]:
    """Means of the ratios of FID, in which the noise of single draws cancels; then every run."""
    guided, plain = (rows[f"{key}_ratio"].mean() for key in INTERVALS)
    ratios = f"{guided:.3f}, without guidance {plain:.3f}; limit for both: 1.05"
    means = f"FID ÷ the base model's, mean over {len(rows)} runs: {ratios}."
    return [means, "", *grid(rows, columns, limits)]


def _erase_digit(cell: Cell) -> list[dict[str, Any]]:
    metrics, cost = erase("sweep", **{"forget.classes": cell["digit"], "seed": cell["seed"]})
    figures = measured(metrics, "forget_accuracy")
    return [cell | figures | {"unlearn_seconds": cost["wall_seconds"]}]


SWEEP_COLUMNS = (
    Column("digit", "digit", "d"),
    Column("seed", "seed", "d"),
    Column("forget accuracy", "forget_accuracy", ".3f"),
    *KEPT_COLUMNS,
)
SWEEP_LIMITS = (at_most("forget accuracy", "forget_accuracy", 0.02), *KEPT_LIMITS)
EIGHT_DIGITS = Table(
    target="sweep",
    file="sweep",
    environment="sweep",
    title="Eight digits, three seeds",
    text="Each run erases one digit from the same base model. The seed sets training and evaluation. "
    f"{TUNED}",
    axes={"digit": REPORTED, "seed": range(3)},
    run=_erase_digit,
    body=lambda rows: body_of(rows.sort_values(["digit", "seed"]), SWEEP_COLUMNS, SWEEP_LIMITS),
)


def _erase_digits(cell: Cell) -> list[dict[str, Any]]:
    metrics, _ = erase("sweep", **{"forget.classes": cell["digits"]})
    return [cell | measured(metrics, "forget_accuracy")]


SEVERAL_COLUMNS = (
    Column("digits", "digits"),
    Column("forget accuracy", "forget_accuracy", ".3f"),
    *KEPT_COLUMNS,
)
SEVERAL_DIGITS = Table(
    target="several",
    file="several",
    environment="sweep",
    title="Several digits at once",
    text="Each run erases two, three or five digits by one request; forget accuracy is of all of them. "
    f"{TUNED}",
    axes={"digits": ["0 7", "3 5", "0 5 8", "2 4 7", "0 2 4 6 8", "2 3 5 6 7"]},
    run=_erase_digits,
    body=lambda rows: body_of(rows, SEVERAL_COLUMNS, SWEEP_LIMITS),
)


def _erase_images(cell: Cell) -> list[dict[str, Any]]:
    asked = {"forget.ids_file": cell["ids_file"]}
    metrics, _ = erase("sweep", **asked)
    run_pipeline("audit", "sweep", **asked)
    audit = json.loads((_reports("sweep") / "audit/erasediff/audit.json").read_text())
    figures = _before_and_after(metrics, *RETAINED) | _ratios(metrics)
    for model, found in audit["models"].items():
        figures |= {f"{model}_auc_{key}": found["membership"][key] for key in ("low", "high")}
        figures[f"{model}_auc"] = found["membership"]["auc"]
        beyond = found["membership"]["beyond_retrained"]
        figures |= {f"{model}_beyond{end}": beyond[of] for end, of in ENDS.items()}
    images = len(pd.read_csv(ROOT / cell["ids_file"]))
    return [cell | {"images": images} | figures]


def _auc(heading: str, model: str) -> Column:
    return Column(heading, f"{model}_auc", ".3f", ends=(f"{model}_auc_low", f"{model}_auc_high"))


IMAGES_COLUMNS = (
    Column("list", "ids_file"),
    Column("images", "images", "d"),
    _auc("membership AUC before", "base"),
    _auc("after", "erased"),
    _auc("retrained", "retrained"),
    Column("after − retrained", "erased_beyond", ".3f", ends=("erased_beyond_low", "erased_beyond_high")),
    *KEPT_COLUMNS[:-2],
)
IMAGES_LIMITS = (
    Limit(
        "membership",
        "as the retrained model's (95 % interval of the difference)",
        lambda row: row["erased_beyond_low"] <= 0 <= row["erased_beyond_high"],
    ),
    *KEPT_LIMITS[:-1],
)
SINGLE_IMAGES = Table(
    target="images",
    file="images",
    environment="sweep",
    title="Single images of digits",
    text="A request by ids keeps the class of its images. Membership AUC: how well the prediction tells the "
    "forgotten images from unseen ones of their classes (0.5: not at all), by PIA. The retrained model never "
    f"saw them. {TUNED}",
    axes={"ids_file": ["docs/example_ids.csv", "benchmarks/ids_of_all_digits.csv"]},
    run=_erase_images,
    body=lambda rows: body_of(rows, IMAGES_COLUMNS, IMAGES_LIMITS),
    sections=("audit",),
)


def _erase_word(cell: Cell) -> list[dict[str, Any]]:
    metrics, cost = erase("tiny_text_to_image", **{"forget.prompts": cell["word"]})
    figures = measured(metrics, *BY_WORD)
    return [cell | figures | {"unlearn_seconds": cost["wall_seconds"]}]


def _words_body(rows: pd.DataFrame) -> list[str]:
    lowest = rows[[f"base_{name}" for name in BY_WORD]].min().min()
    return [
        *body_of(rows, WORD_COLUMNS, WORD_LIMITS),
        "",
        f"The base model's forget accuracies are at least {lowest:.3f}.",
    ]


WORD_COLUMNS = (
    Column("word", "word"),
    Column("forget accuracy, new prompts", "forget_accuracy", ".3f"),
    Column("used prompts", "forget_accuracy_erased_prompts", ".3f"),
    Column("synonym", "forget_accuracy_synonyms", ".3f"),
    *KEPT_COLUMNS,
    Column("seconds", "unlearn_seconds", ".0f"),
)
WORD_LIMITS = (
    at_most("forget accuracy, new prompts", "forget_accuracy", 0.02),
    at_most("used prompts", "forget_accuracy_erased_prompts", 0.02),
    at_most("synonym", "forget_accuracy_synonyms", 0.05),
    *KEPT_LIMITS,
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
    manifest = ROOT / "data/03_primary/fashion_mnist/manifest.parquet"
    if not manifest.exists():
        sys.exit(f"{manifest} is missing: run `kedro run --env=fashion_mnist --pipeline=prepare` first")
    names = names_of(pd.read_parquet(manifest))
    started = time.monotonic()
    metrics, _ = erase("fashion_mnist", **{"forget.classes": cell["label"]})
    seconds = round(time.monotonic() - started)
    figures = measured(metrics, "forget_accuracy")
    return [cell | {"class": names[cell["label"]]} | figures | {"run_seconds": seconds}]


FASHION_COLUMNS = (
    Column("class", "class"),
    Column("forget accuracy before", "base_forget_accuracy", ".3f"),
    Column("after", "forget_accuracy", ".3f"),
    *KEPT_COLUMNS,
    Column("minutes", "run_seconds", ".1f", 1 / 60),
)
FASHION_LIMITS = (
    at_most("forget accuracy", "forget_accuracy", 0.02),
    *KEPT_LIMITS,
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
    body=lambda rows: body_of(rows.sort_values("label"), FASHION_COLUMNS, FASHION_LIMITS),
)


def _in_a_row(chosen: Chosen, rows: pd.DataFrame) -> list[Cell]:
    """All of them: each run starts from the model that the run before it wrote."""
    return [{"digit": d, "base": "erasediff" if i else "base"} for i, d in enumerate(chosen["digit"])]


def _erase_next(cell: Cell) -> list[dict[str, Any]]:
    metrics, _ = erase("sweep", **{"base": cell["base"], "forget.classes": cell["digit"]})
    figures = _before_and_after(metrics, *RETAINED)
    left = metrics["erased"]["forget_accuracy_by_class"].items()
    return [{"digit": cell["digit"], **figures, **{f"forget_accuracy_{d}": share for d, share in left}}]


def _sequence_body(rows: pd.DataFrame) -> list[str]:
    """How much is left of every digit erased so far, and what the last row misses."""
    forgotten = [Column(f"forget accuracy of {d}", f"forget_accuracy_{d}", ".3f") for d in rows["digit"]]
    columns = [*forgotten, *SEQUENCE_COLUMNS]
    before = rows.iloc[0].filter(like="base_")
    base = before.rename(lambda key: key.removeprefix("base_")).reindex([column.key for column in columns])
    models = [("base model", base), *((f"{row['digit']}", row) for _, row in rows.iterrows())]
    cells = [[name, *(column.show(row).replace("nan", "–") for column in columns)] for name, row in models]
    limits = [at_most(column.heading, column.key, 0.03) for column in forgotten]
    last = misses(pd.Series({**rows.iloc[-1], **before}), [*limits, *SEQUENCE_LIMITS])
    return [
        *markdown(["request", *(column.heading for column in columns)], cells),
        "",
        "Each row is of the classes that its request retains, that of the base model of the first one's. "
        f"Limits after the last request: forget accuracy ≤ 0.03 for each digit, {describe(SEQUENCE_LIMITS)}. "
        f"Missed: {last or 'none'}.",
    ]


SEQUENCE_COLUMNS = (
    Column("retain accuracy", "retain_accuracy", ".3f"),
    Column("no guidance", "unguided_retain_accuracy", ".3f"),
    Column("FID, retained", "fid", ".2f"),
    Column("no guidance", "unguided_fid", ".2f"),
)
SEQUENCE_LIMITS = (
    kept("retain accuracy", "retain_accuracy", 0.02),
    kept("retain accuracy without guidance", "unguided_retain_accuracy", 0.02),
)
SEQUENCE = Table(
    target="sequence",
    file="sequence",
    environment="sweep",
    title="Requests in a row",
    text="Each request starts from the model that the request before it wrote. After each request, every "
    "digit erased so far is measured. The limits are wider than those of a single request, since each "
    "request costs a little of what earlier ones reached.",
    axes={"digit": REPORTED[:5]},
    run=_erase_next,
    body=_sequence_body,
    missing=_in_a_row,
    resumes=False,
)
