"""Tables of every method: on every digit, and on one word of the small text-to-image model."""

from typing import Any

import pandas as pd

from erasediff_pipeline.experiments.comparison import GOLD, add_distances, half_width, mark_front, summarise
from erasediff_pipeline.reporting.comparison import with_interval
from erasediff_pipeline.unlearning.registry import METHODS
from runs import ROOT, markdown, read_parameters, run_pipeline
from tables.spec import Cell, Chosen, Table

SHOWN = {
    "forget_accuracy": ("forget accuracy", 3),
    "retain_accuracy": ("retain accuracy", 4),
    "fid": ("FID, retained", 2),
    "recall": ("recall, retained", 3),
    "wall_seconds": ("seconds", 0),
    "distance": ("distance", 3),
}
"""Column → heading and decimals."""
REPEATED = ("erasediff", GOLD)
"""Methods that have three seeds on the default request, the digit 0."""
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
    summary = add_distances(summarise(rows, 0.95), classes=10)
    return summary.assign(front=mark_front(summary))


def _means(summaries: pd.DataFrame) -> list[str]:
    """One line per method, nearest to the retrained model first: means over its rows, with intervals."""
    groups = summaries.groupby("method")[list(SHOWN)]
    means, widths = groups.mean(), groups.agg(half_width, confidence=0.95)
    lines = [
        [f"`{method}`", *(with_interval(row[n], widths.loc[method, n], SHOWN[n][1]) for n in SHOWN)]
        for method, row in means.sort_values("distance").iterrows()
    ]
    return markdown(["method", *(heading for heading, _ in SHOWN.values())], lines)


def _nearest(summaries: pd.DataFrame) -> str:
    """Which method is nearest to the retrained model; empty if that is missing."""
    means = summaries[~summaries["method"].isin(["base", GOLD])].groupby("method")["distance"].mean()
    return "" if means.isna().all() else f"Nearest to the retrained model: `{means.idxmin()}`. "


def _missing_trials(chosen: Chosen, rows: pd.DataFrame) -> list[Cell]:
    """Whole digits, then methods that came later, then more seeds of the default request."""
    wanted = methods_for("sweep")
    done = set() if rows.empty else set(zip(rows["digit"], rows["method"], rows["seed"], strict=True))
    started = {digit for digit, method, _ in done if method == "base"}
    work = [(digit, None, (0,)) for digit in chosen["digit"] if digit not in started]
    for digit in sorted(started & set(chosen["digit"])):
        work += [(digit, method, (0,)) for method in wanted if (digit, method, 0) not in done]
    if 0 in chosen["digit"]:
        more = [method for method in REPEATED if method in wanted and (0, method, 2) not in done]
        work += [(0, method, (1, 2)) for method in more]
    return [{"digit": digit, "method": method, "seeds": seeds} for digit, method, seeds in work]


def _compare_digit(cell: Cell) -> list[dict[str, Any]]:
    """All methods, or one with the seeds of the cell."""
    method, seeds = cell["method"], cell["seeds"]
    only = {"compare.methods": method} if method else {}
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
    first = rows[rows["seed"] == 0]
    every = pd.concat([_summarise(part).assign(digit=digit) for digit, part in first.groupby("digit")])
    order = every.groupby("method")["distance"].mean().sort_values().index
    front = _by_digit(every, "front", order).drop(index=["base", GOLD], errors="ignore")
    counts = front.sum(axis=1)
    ranked = ", ".join(
        f"`{m}` {n}" for m, n in counts.sort_values(ascending=False, kind="stable").items() if n
    )
    lines = [
        f"## Mean over {every['digit'].nunique()} digits, one seed each, ± half of the 95 % interval",
        "",
        *_means(every),
        "",
        f"{_nearest(every)}On the Pareto front of FID against forget accuracy, number of digits: {ranked}.",
    ]
    repeated = rows[(rows["digit"] == 0) & rows["method"].isin(REPEATED)]
    if (seeds := repeated["seed"].nunique()) > 1:
        each = pd.concat([_summarise(part) for _, part in repeated.groupby("seed")])
        lines += ["", f"## Digit 0, {seeds} seeds, ± half of the 95 % interval", "", *_means(each)]
    for name in ("forget_accuracy", "retain_accuracy", "fid", "distance"):
        heading, decimals = SHOWN[name]
        cells = _by_digit(every, name, order).map(f"{{:.{decimals}f}}".format)
        lines += ["", f"## By digit: {heading}", "", *_wide(cells)]
    marks = front.replace({True: "●", False: ""}).assign(**{"of all": counts})
    return [*lines, "", "## By digit: Pareto front of FID against forget accuracy", "", *_wide(marks)]


DIGITS = Table(
    target="compare-digits",
    file="comparison",
    environment="sweep",
    title="Every method on every digit",
    text="The distance is measured to the model retrained without the digit: a mean over the metrics, see "
    f"[docs/reference/metrics.md](../docs/reference/metrics.md). {REUSED} The settings were tuned on "
    "digits other than 3 and 7. All figures: [comparison.csv](comparison.csv).",
    axes={"digit": range(10)},
    run=_compare_digit,
    body=_digits_body,
    keys=("digit", "method", "seed"),
    missing=_missing_trials,
    method="method",
)


def _missing_methods(chosen: Chosen, rows: pd.DataFrame) -> list[Cell]:
    """One run of all methods if one is missing; stored trials are not repeated."""
    done = set() if rows.empty else set(rows["method"])
    return [] if set(methods_for("tiny_text_to_image")) <= done else [{}]


def _word_body(rows: pd.DataFrame) -> list[str]:
    summary = _summarise(rows)
    front = ", ".join(f"`{method}`" for method in summary[summary["front"]]["method"])
    return [
        *_means(summary),
        "",
        f"{_nearest(summary)}On the Pareto front of FID against forget accuracy: {front}.",
    ]


ONE_WORD = Table(
    target="compare-words",
    file="words_comparison",
    environment="tiny_text_to_image",
    title='Every method on the word "three"',
    text="One seed, no intervals: ignore differences of a few thousandths. Forget accuracy is measured with "
    "prompts that were not used to erase. The distance is measured to the model whose U-Net was retrained "
    "without the class: a mean over the metrics, see "
    f"[docs/reference/metrics.md](../docs/reference/metrics.md). {REUSED} The settings "
    "were tuned for EraseDiff on the words for 2 and 8. All figures: "
    "[words_comparison.csv](words_comparison.csv).",
    axes={},
    run=lambda cell: compare("tiny_text_to_image").to_dict("records"),
    body=_word_body,
    keys=("method", "seed"),
    missing=_missing_methods,
    method="method",
)
