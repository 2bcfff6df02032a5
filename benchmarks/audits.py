"""Is it really gone? The audits of every digit, each by the commands that a user types.

    make audits           writes benchmarks/audits.csv and .md, and goes on where it stopped

``--methods none`` audits EraseDiff's model, the base model, the retrained one, and what ``audit.methods``
names. Rows of other settings, another base model or another judge are refused.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from erasediff_pipeline.config.gates import AUDITED
from erasediff_pipeline.evidence.figures import figures_of_audit
from erasediff_pipeline.unlearning.registry import METHODS
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

RESULT = ROOT / "data/08_reporting" / ENVIRONMENT / "audit/erasediff/audit.json"
NAMES = {"erased": "erasediff", "retrained": "retrain"}
"""Models of an audit that have another name in the table."""
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


def run_one(digit: int, methods: bool, settings: str) -> pd.DataFrame:
    """EraseDiff on one digit, then its audit: a row a model."""
    run_pipeline("unlearn", **{"forget.classes": digit, "tracking.registered_model": "null"})
    chosen = {"audit.methods": "all"} if methods else {}
    run_pipeline("audit", **{"forget.classes": digit, **chosen})
    document = json.loads(RESULT.read_text())
    return pd.DataFrame(
        {
            "digit": digit,
            "model": NAMES.get(name, name),
            **row_of(found, document["samples"]),
            **made_by(settings),
        }
        for name, found in document["models"].items()
    )


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
    order = ["base", "retrain", *(m for m in METHODS if m != "retrain")]
    rows = rows.assign(missed="").sort_values(
        ["digit", "model"], key=lambda column: column.map(order.index) if column.name == "model" else column
    )
    for digit in digits:
        of_digit = rows["digit"] == digit
        gold = rows[of_digit & (rows["model"] == "retrain")].iloc[0]
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
    parser.add_argument("--methods", choices=("all", "none"), default="all")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/audits.csv")
    options = parser.parse_args()
    copy_reference()
    settings = hash_settings(*METHODS, sections=("audit",))
    rows = read_rows(options.output, settings)
    counts = {} if rows.empty else rows["digit"].value_counts().to_dict()
    needed = 3 if options.methods == "none" else 4
    for digit in tqdm([d for d in options.digits if counts.get(d, 0) < needed], desc="digits"):
        fresh = run_one(digit, options.methods == "all", settings)
        rows = pd.concat([rows[rows["digit"] != digit] if len(rows) else rows, fresh], ignore_index=True)
        rows.to_csv(options.output, index=False)
        write_table(rows, options.output.with_suffix(".md"))
    write_table(rows, options.output.with_suffix(".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
