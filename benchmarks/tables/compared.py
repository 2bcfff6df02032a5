"""Tables of every method: on every digit, and on one word of the small text-to-image model."""

from typing import Any

import pandas as pd

from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.experiments.comparison import half_width, mark_front, summarise
from erasediff_pipeline.experiments.distance import GOLD, RETRAINED
from erasediff_pipeline.reporting.comparison import with_interval
from erasediff_pipeline.unlearning.registry import METHODS
from runs import ROOT, markdown, read_parameters, run_pipeline
from tables.paired import LEVEL, compare_in_pairs, describe_ranking
from tables.spec import REPORTED, TUNED, Cell, Chosen, Table

SHOWN = {
    "forget_accuracy": ("forget accuracy", 3),
    "retain_accuracy": ("retain accuracy", 3),
    "unguided_retain_accuracy": ("no guidance", 3),
    "fid": ("FID, retained", 2),
    "unguided_fid": ("no guidance", 2),
    "precision": ("precision", 3),
    "unguided_precision": ("no guidance", 3),
    "recall": ("recall", 3),
    "unguided_recall": ("no guidance", 3),
    "wall_seconds": ("seconds", 0),
    "distance": ("distance", 1),
}
"""Column → heading and decimals; "no guidance" is the same as the column before it."""
BY_DIGIT = (
    *("forget_accuracy", "retain_accuracy", "unguided_retain_accuracy", "fid", "unguided_fid"),
    *("unguided_precision", "unguided_recall", "distance"),
)
GOLD_SEEDS = tuple(range(RETRAINED))
"""Seeds of the retrained model, for every request."""
FIRST = "erasediff"
"""Has three seeds on the default request, the digit 0; the others are tested against it."""
DISTANCE = (
    f"The distance is measured to {RETRAINED} retrained models, by their spread; the row `{GOLD}` is the "
    "noise floor, one of them measured from the others "
    "([docs/reference/metrics.md](../docs/reference/metrics.md#the-distance-of-compare))."
)
REUSED = (
    "A trial of the same code, settings and weights is not run again: its seconds may be older than the "
    "commit above."
)


def methods_for(environment: str) -> list[str]:
    """The methods that ``compare`` tries on a class, or on a word if there are words."""
    parameters = read_parameters(environment)
    words = bool(parameters["forget"].get("prompts"))
    compared = parameters["compare"]["methods"] or METHODS
    return [method for method in compared if words or forgets_classes(method)]


def forgets_classes(method: str) -> bool:
    return not getattr(METHODS[method].build, "prompts_only", False)


def compare(environment: str, **parameters: object) -> pd.DataFrame:
    """Run ``compare``, and return its trials."""
    run_pipeline("compare", environment, **parameters)
    return pd.read_csv(ROOT / "data/08_reporting" / environment / "compare/trials.csv")


def _summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """The methods of one comparison, their distances, and whether they are on the Pareto front."""
    summary = summarise(rows, 0.95)
    return summary.assign(front=mark_front(summary))


def _means(summaries: pd.DataFrame) -> pd.DataFrame:
    """Means over the digits, with intervals."""
    groups = summaries.groupby("method", sort=False)[list(SHOWN)]
    widths = groups.agg(half_width, confidence=0.95).add_suffix("_interval")
    return groups.mean().join(widths).reset_index()


def _table(summary: pd.DataFrame) -> list[str]:
    """One line per method, nearest to the retrained models first."""
    lines = [
        [f"`{row['method']}`", *(with_interval(row[n], row[f"{n}_interval"], SHOWN[n][1]) for n in SHOWN)]
        for _, row in summary.sort_values("distance", kind="stable").iterrows()
    ]
    return markdown(["method", *(heading for heading, _ in SHOWN.values())], lines)


def _ranking(distances: pd.DataFrame) -> list[str]:
    """Whether the distance of EraseDiff differs from that of each other method, paired over digits."""
    if FIRST not in distances.index or distances.empty:
        return []
    tests = compare_in_pairs(distances, FIRST)
    cells = [
        [
            f"`{method}`",
            f"{row['median']:.1f}",
            f"{row['difference']:+.1f}",
            f"{row['farther']:.3f}",
            f"{row['nearer']:.3f}",
        ]
        for method, row in tests.sort_values("median").iterrows()
    ]
    digits = distances.shape[1]
    head = ["method", "median distance", f"median of the difference from `{FIRST}`"]
    return [
        "",
        f"## Distance to the retrained models: `{FIRST}` against each other method",
        "",
        f"Paired over {digits} digits: Wilcoxon's signed-rank test, once for each direction, each with "
        f"Holm's correction. p ≤ {LEVEL} says that the method is farther, or nearer. "
        f"Median distance of `{FIRST}`: {distances.loc[FIRST].median():.1f}. "
        f"{describe_ranking(tests, FIRST, digits)}",
        "",
        *markdown([*head, "p, farther", "p, nearer"], cells),
    ]


def _missing_trials(chosen: Chosen, rows: pd.DataFrame) -> list[Cell]:
    """Whole digits, then methods that came later, then more seeds of the default request."""
    wanted = methods_for("sweep")
    done = set() if rows.empty else set(zip(rows["digit"], rows["method"], rows["seed"], strict=True))
    started = {digit for digit, method, _ in done if method == "base"}
    work = [(digit, None, (0,)) for digit in chosen["digit"] if digit not in started]
    for digit in sorted(started & set(chosen["digit"])):
        for method in wanted:
            seeds = GOLD_SEEDS if method == GOLD else (0,)
            if any((digit, method, seed) not in done for seed in seeds):
                work.append((digit, method, seeds))
    if 0 in chosen["digit"] and FIRST in wanted and (0, FIRST, 2) not in done:
        work.append((0, FIRST, (1, 2)))
    return [{"digit": digit, "method": method, "seeds": seeds} for digit, method, seeds in work]


def _compare_digit(cell: Cell) -> list[dict[str, Any]]:
    """All methods, or one with the seeds of the cell."""
    method, seeds = cell["method"], cell["seeds"]
    only = {"compare.methods": method} if method else {"compare.retrained_seeds": RETRAINED}
    rows = compare("sweep", **{"forget.classes": cell["digit"], "compare.seeds": max(seeds) + 1, **only})
    if method:
        rows = rows[(rows["method"] == method) & rows["seed"].isin(seeds)]
    return rows.assign(digit=cell["digit"]).to_dict("records")


def _by_digit(every: pd.DataFrame, column: str, order: pd.Index) -> pd.DataFrame:
    """One row per method, one column per digit."""
    return every.pivot(index="method", columns="digit", values=column).reindex(order)


def _wide(table: pd.DataFrame) -> list[str]:
    lines = [[f"`{method}`", *map(str, row)] for method, row in zip(table.index, table.values, strict=True)]
    return markdown(["method", *map(str, table.columns)], lines)


def _digits_body(rows: pd.DataFrame) -> list[str]:
    """Means over the digits, then seeds, then every digit."""
    first = rows[(rows["seed"] == 0) | (rows["method"] == GOLD)]
    every = pd.concat([_summarise(part).assign(digit=digit) for digit, part in first.groupby("digit")])
    order = every.groupby("method", sort=False)["distance"].mean().sort_values(kind="stable").index
    front = _by_digit(every, "front", order).drop(index=["base", GOLD], errors="ignore")
    counts = front.sum(axis=1)
    ranked = ", ".join(
        f"`{m}` {n}" for m, n in counts.sort_values(ascending=False, kind="stable").items() if n
    )
    distances = _by_digit(every, "distance", order).drop(index=["base", GOLD], errors="ignore")
    lines = [
        f"## Mean over {every['digit'].nunique()} digits, one seed each, ± half of the 95 % interval",
        "",
        *_table(_means(every)),
        "",
        f"On the Pareto front of FID without guidance against forget accuracy, number of digits: {ranked}.",
        *_ranking(distances.dropna(axis="columns")),
    ]
    repeated = rows[(rows["digit"] == 0) & rows["method"].isin([FIRST, GOLD])]
    if (seeds := repeated.loc[repeated["method"] == FIRST, "seed"].nunique()) > 1:
        title = f"## Digit 0, {seeds} seeds, ± half of the 95 % interval"
        lines += ["", title, "", *_table(summarise(repeated, 0.95))]
    for name in BY_DIGIT:
        heading = SHOWN[name][0] if name not in METRICS else METRICS[name].label
        cells = _by_digit(every, name, order).map(f"{{:.{SHOWN[name][1]}f}}".format)
        lines += ["", f"## By digit: {heading}", "", *_wide(cells)]
    marks = front.replace({True: "●", False: ""}).assign(**{"of all": counts})
    title = "## By digit: Pareto front of FID without guidance against forget accuracy"
    return [*lines, "", title, "", *_wide(marks)]


DIGITS = Table(
    target="compare-digits",
    file="comparison",
    environment="sweep",
    title="Every method on every digit",
    text=f"{DISTANCE} {REUSED} {TUNED} All figures: [comparison.csv](comparison.csv).",
    axes={"digit": REPORTED},
    run=_compare_digit,
    body=_digits_body,
    keys=("digit", "method", "seed"),
    missing=_missing_trials,
    method="method",
)


def _missing_methods(chosen: Chosen, rows: pd.DataFrame) -> list[Cell]:
    """One run of all methods if one is missing; stored trials are not repeated."""
    done = set() if rows.empty else set(zip(rows["method"], rows["seed"], strict=True))
    wanted = {(method, 0) for method in methods_for("tiny_text_to_image")}
    return [] if wanted | {(GOLD, seed) for seed in GOLD_SEEDS} <= done else [{}]


def _compare_word(cell: Cell) -> list[dict[str, Any]]:
    return compare("tiny_text_to_image", **{"compare.retrained_seeds": RETRAINED}).to_dict("records")


def _word_body(rows: pd.DataFrame) -> list[str]:
    summary = _summarise(rows)
    front = ", ".join(f"`{method}`" for method in summary[summary["front"]]["method"])
    return [
        *_table(summary),
        "",
        f"On the Pareto front of FID without guidance against forget accuracy: {front}. "
        "One word ranks no methods.",
    ]


ONE_WORD = Table(
    target="compare-words",
    file="words_comparison",
    environment="tiny_text_to_image",
    title='Every method on the word "three"',
    text="One seed, and three of the retrained model, whose U-Net alone was retrained. Forget accuracy is "
    f"measured with prompts that were not used to erase. {DISTANCE} {REUSED} The settings are those of the "
    "digits. All figures: [words_comparison.csv](words_comparison.csv).",
    axes={},
    run=_compare_word,
    body=_word_body,
    keys=("method", "seed"),
    missing=_missing_methods,
    method="method",
)
