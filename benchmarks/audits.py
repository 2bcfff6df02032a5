"""Is it really gone? The audits of every digit, each by the commands that a user types.

    make audits           writes benchmarks/audits.csv and .md, and goes on where it stopped

A digit's first rows are those of the base model, EraseDiff's and the retrained one; then, method by method,
the others'. Rows of other settings, another base model or another judge are refused.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from erasediff_pipeline.config.gates import AUDITED
from erasediff_pipeline.evidence.figures import figures_of_audit
from erasediff_pipeline.experiments.comparison import GOLD
from erasediff_pipeline.unlearning.registry import METHODS, reason_to_leave_out
from runs import (
    ENVIRONMENT,
    ROOT,
    copy_reference,
    describe_origin,
    hash_settings,
    made_by,
    read_rows,
    run_pipeline,
)

RESULTS = ROOT / "data/08_reporting" / ENVIRONMENT / "audit"
FIRST = "erasediff"
OTHERS = [m for m in METHODS if m not in (FIRST, GOLD) and not reason_to_leave_out(m, "classes")]
INTERVAL = ["membership_low", "membership_high"]
LIMITS = ("inversion", "relearning", "membership")
SHOWN = {
    "relearning_steps_forgotten": "steps to relearn half",
    "relearning_steps_retained": "… from retained images",
    "inversion_accuracy": "inversion, best",
    "inversion_accuracy_random": "… from random starts",
    "membership_auc": "membership AUC",
    "leakage_unconditional": "shown when asked for nothing",
    "leakage_worst": "shown under another class, worst",
    "damage_worst": "retain accuracy, worst class",
}


def run_one(digit: int, method: str, settings: dict[str, str]) -> pd.DataFrame:
    """A method on one digit, and its audit; EraseDiff's comes with the rows that all are held against."""
    run_pipeline(METHODS[method].pipeline, **{"forget.classes": digit, "tracking.registered_model": "null"})
    first = method == FIRST
    run_pipeline("audit", **{"forget.classes": digit, "audit.model": method, "audit.retrained": first})
    document = json.loads((RESULTS / method / "audit.json").read_text())
    names = {"base": "base", "erased": method, "retrained": GOLD} if first else {"erased": method}
    rows = pd.DataFrame(
        {"digit": digit, "model": model, **row_of(document["models"][name], document["samples"])}
        for name, model in names.items()
    )
    return rows.assign(**made_by(rows["model"].map(settings)))


def list_work(digits: list[int], methods: list[str], done: set[tuple[int, str]]) -> list[tuple[int, str]]:
    """The digits and methods whose rows are missing, digit by digit."""
    together = {FIRST: ("base", GOLD, FIRST)}
    return [
        (digit, method)
        for digit in digits
        for method in (FIRST, *methods)
        if not {(digit, model) for model in together.get(method, (method,))} <= done
    ]


def row_of(found: dict, samples: int) -> dict[str, float]:
    """One model's figures."""
    figures = figures_of_audit(found, samples, 0.95)
    membership = figures["membership_auc"]
    row = {name: figures[name].value for name in AUDITED}
    return row | dict(zip(INTERVAL, (membership.low, membership.high), strict=True))


def misses(row: pd.Series, gold: pd.Series) -> str:
    """What a model holds that the retrained one does not, by name."""
    half_width = (row["membership_high"] - row["membership_low"]) / 2
    reached = {
        "inversion": row["inversion_accuracy"] <= gold["inversion_accuracy"] + 0.05,
        "relearning": row["relearning_steps_forgotten"] >= gold["relearning_steps_forgotten"],
        "membership": abs(row["membership_auc"] - gold["membership_auc"]) <= half_width,
    }
    return ", ".join(name for name, good in reached.items() if not good)


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """A table a digit, what each model misses named, and how often each method reaches all."""
    digits = sorted(rows["digit"].unique())
    order = ["base", GOLD, FIRST, *OTHERS]
    rows = rows.assign(missed="").sort_values(
        ["digit", "model"], key=lambda column: column.map(order.index) if column.name == "model" else column
    )
    for digit in digits:
        of_digit = rows["digit"] == digit
        gold = rows[of_digit & (rows["model"] == GOLD)].iloc[0]
        rows.loc[of_digit, "missed"] = rows[of_digit].apply(misses, axis=1, gold=gold)
    unfinished = f"Unfinished: only {', '.join(map(str, digits))}. " if len(digits) < 10 else ""
    lines = [
        "# Is it really gone? Every digit",
        "",
        f"{describe_origin('make audits', rows)} {unfinished}What each audit asks: "
        "[docs/audits.md](../docs/audits.md). Steps of a model that never relearnt half are given as twice "
        "the last that was measured. The last column names what a model holds beyond the retrained one: "
        "inversion (more than 0.05 above its best), relearning (in fewer steps than it), membership (an AUC "
        "that differs from its by more than half of its own 95 % bootstrap interval).",
        "",
        "| model | digits | none missed | inversion | relearning | membership |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for model, found in rows.groupby("model", sort=False):
        held = [int(found["missed"].str.contains(name).sum()) for name in LIMITS]
        clean = int((found["missed"] == "").sum())
        lines.append(f"| `{model}` | {len(found)} | {clean} | {' | '.join(map(str, held))} |")
    lines += ["", "The last three columns count the digits on which it is missed.", ""]
    for digit in digits:
        lines += [f"## Digit {digit}", "", f"| model | {' | '.join(SHOWN.values())} | missed |"]
        lines += [f"|---|{'--:|' * len(SHOWN)}---|"]
        for _, row in rows[rows["digit"] == digit].iterrows():
            cells = [f"{row[n]:.0f}" if "steps" in n else f"{row[n]:.3f}" for n in SHOWN]
            lines.append(f"| `{row['model']}` | {' | '.join(cells)} | {row['missed']} |")
        lines.append("")
    path.write_text("\n".join(lines))


def main() -> int:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--digits", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--methods", nargs="*", choices=OTHERS, default=OTHERS, help="beside EraseDiff")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/audits.csv")
    options = parser.parse_args()
    copy_reference()
    settings = hash_settings(sections=("audit",))
    rows = read_rows(options.output, settings, "model")
    done = set() if rows.empty else set(zip(rows["digit"], rows["model"], strict=True))
    for digit, method in tqdm(list_work(options.digits, options.methods, done), "audits", unit="run"):
        rows = pd.concat([rows, run_one(digit, method, settings)], ignore_index=True)
        rows = rows.drop_duplicates(["digit", "model"], keep="last")
        rows.to_csv(options.output, index=False)
        write_table(rows, options.output.with_suffix(".md"))
    write_table(rows, options.output.with_suffix(".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
