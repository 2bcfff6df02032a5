"""Every method on every digit, each digit by the command that a user types.

    make compare-digits   writes benchmarks/comparison.csv and .md, and goes on where it stopped

One seed a digit; for the digit 0, EraseDiff and the retrained model have three. Rows of other settings,
another base model or another judge are refused.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from erasediff_pipeline.experiments.comparison import GOLD, add_distances, half_width, mark_front, summarise
from erasediff_pipeline.reporting.comparison import with_interval
from erasediff_pipeline.unlearning.registry import METHODS, reason_to_leave_out
from runs import (
    ENVIRONMENT,
    ROOT,
    copy_reference,
    describe_origin,
    hash_settings,
    made_by,
    read_parameters,
    read_rows,
    run_pipeline,
)

RESULT = ROOT / "data/08_reporting" / ENVIRONMENT / "compare"
SHOWN = {
    "forget_accuracy": ("forget accuracy", 3),
    "retain_accuracy": ("retain accuracy", 4),
    "fid": ("FID, retained", 2),
    "recall": ("recall, retained", 3),
    "wall_seconds": ("seconds", 0),
    "distance": ("distance", 3),
}
"""Column → its name and its digits behind the point."""
MORE_SEEDS = (0, ("erasediff", GOLD), 3)
"""Digit, methods, number of seeds: the default request."""


def run_one(
    digit: int, settings: dict[str, str], only: str | None = None, seeds: Sequence[int] = (0,)
) -> pd.DataFrame:
    """One comparison, in a process of its own; its rows of the table, or one method's of these seeds."""
    chosen = {"compare.methods": only} if only else {}
    run_pipeline("compare", **{"forget.classes": digit, "compare.seeds": max(seeds) + 1, **chosen})
    rows = pd.read_csv(RESULT / "trials.csv")
    rows = rows[(rows["method"] == only) & rows["seed"].isin(seeds)] if only else rows
    return rows.assign(digit=digit, **made_by(rows["method"].map(settings)))


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """Means over the digits, nearest to the retrained model first; seeds; then every digit."""
    of_digit = {digit: compare(r) for digit, r in rows[rows["seed"] == 0].groupby("digit")}
    every = pd.concat([summary.assign(digit=digit) for digit, summary in of_digit.items()])
    unfinished = f"Unfinished: only {', '.join(map(str, of_digit))}. " if len(of_digit) < 10 else ""
    lines = [
        "# Every method on every digit",
        "",
        f"{describe_origin('make compare-digits', rows)} {unfinished}The distance is that to the model "
        "retrained without the digit, a mean over the metrics (`evaluation/comparison.py`). A trial that was "
        "there already, from the same code, settings and weights, is kept with its seconds: some are older "
        "than the commit that is named. How the "
        "settings were chosen, on digits other than 3 and 7: [docs/methods.md](../docs/methods.md). Every "
        "figure: [comparison.csv](comparison.csv).",
        "",
        f"## Means over {len(of_digit)} digits, one seed each, ± half of the 95 % interval",
        "",
        *table_of(every, list(SHOWN)),
        "",
        name_nearest(every),
    ]
    seeds = rows[(rows["digit"] == 0) & rows["method"].isin(["erasediff", GOLD])]
    if seeds["seed"].nunique() > 1:
        each = pd.concat([compare(r) for _, r in seeds.groupby("seed")])
        lines += ["", f"## Digit 0, {seeds['seed'].nunique()} seeds, ± half of the 95 % interval", ""]
        lines += table_of(each, list(SHOWN))
    order = every.groupby("method")["distance"].mean().sort_values().index
    for name in ("forget_accuracy", "retain_accuracy", "fid", "distance"):
        label, digits = SHOWN[name]
        wide = every.pivot(index="method", columns="digit", values=name).loc[order]
        lines += ["", f"## {label[0].upper()}{label[1:]}, digit by digit", ""]
        lines += digit_table(wide.map(lambda value, digits=digits: f"{value:.{digits}f}"))
    front = every.pivot(index="method", columns="digit", values="front").loc[order]
    front = front.drop(index=["base", GOLD], errors="ignore")
    shown = front.replace({True: "●", False: ""}).assign(**{"of all": front.sum(axis=1)})
    lines += ["", "## On the Pareto front of FID against forget accuracy, digit by digit", ""]
    lines += digit_table(shown)
    path.write_text("\n".join(lines) + "\n")


def name_nearest(every: pd.DataFrame) -> str:
    """Who wins by the distance, and on how many digits each method is on the Pareto front."""
    methods = every[~every["method"].isin(["base", GOLD])]
    if methods["distance"].isna().all():
        return f"No distances: `{GOLD}` is not among the methods."
    nearest = methods.groupby("method")["distance"].mean().idxmin()
    front = methods.groupby("method")["front"].sum().sort_values(ascending=False)
    counts = ", ".join(f"`{method}` {count}" for method, count in front[front > 0].items())
    return f"Nearest to the retrained model: `{nearest}`. Digits on the Pareto front, below: {counts}."


def digit_table(wide: pd.DataFrame) -> list[str]:
    """A row a method, a column a digit."""
    lines = [f"| method | {' | '.join(map(str, wide.columns))} |", f"|---|{'--:|' * len(wide.columns)}"]
    return lines + [f"| `{method}` | {' | '.join(map(str, row))} |" for method, row in wide.iterrows()]


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """The methods of one comparison, with their distances, and whether they are on the Pareto front."""
    summary = add_distances(summarise(rows, 0.95), classes=10)
    return summary.assign(front=mark_front(summary))


def table_of(summaries: pd.DataFrame, names: list[str]) -> list[str]:
    """A row a method: means over its rows, with intervals; a dash for what was not measured."""
    groups = summaries.groupby("method")
    means, widths = groups[names].mean(), groups[names].agg(half_width, confidence=0.95)
    lines = [f"| method | {' | '.join(SHOWN[n][0] for n in names)} |", f"|---|{'--:|' * len(names)}"]
    for method, row in means.sort_values("distance").iterrows():
        cells = [with_interval(row[n], widths.loc[method, n], SHOWN[n][1]) for n in names]
        lines.append(f"| `{method}` | {' | '.join(cells)} |")
    return lines


def list_work(
    digits: list[int], wanted: list[str], done: set[tuple[int, str, int]]
) -> list[tuple[int, str | None, Sequence[int]]]:
    """What is missing: whole digits, methods that came later, and the seeds of the default request."""
    started = {digit for digit, method, _ in done if method == "base"}
    work: list[tuple[int, str | None, Sequence[int]]] = [(d, None, (0,)) for d in digits if d not in started]
    for digit in sorted(started & set(digits)):
        work += [(digit, method, (0,)) for method in wanted if (digit, method, 0) not in done]
    digit, methods, seeds = MORE_SEEDS
    if digit in digits:
        more = tuple(range(1, seeds))
        asked = [method for method in methods if method in wanted]
        work += [(digit, method, more) for method in asked if (digit, method, more[-1]) not in done]
    return work


def main() -> int:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--digits", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/comparison.csv")
    options = parser.parse_args()
    copy_reference()
    settings = hash_settings()
    rows = read_rows(options.output, settings)
    compared = read_parameters()["compare"]["methods"] or METHODS
    wanted = [method for method in compared if not reason_to_leave_out(method, "classes")]
    done = set() if rows.empty else set(zip(rows["digit"], rows["method"], rows["seed"], strict=True))
    for digit, only, seeds in tqdm(list_work(options.digits, wanted, done), "comparison", unit="run"):
        rows = pd.concat([rows, run_one(digit, settings, only, seeds)], ignore_index=True)
        rows = rows.drop_duplicates(["digit", "method", "seed"], keep="last")
        rows.to_csv(options.output, index=False)
    write_table(rows, options.output.with_suffix(".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
