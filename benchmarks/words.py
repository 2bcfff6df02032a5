"""The word for each digit, erased from the small text-to-image model, each by the command that a user types.

    make words            writes benchmarks/words.csv and .md, and goes on where it stopped

It runs in the environment ``tiny_text_to_image`` itself, and so replaces the results there. Rows of other
settings, another base model or another judge are refused.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from runs import ROOT, describe_origin, hash_settings, made_by, read_rows, run_pipeline

ENVIRONMENT = "tiny_text_to_image"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
RESULT = ROOT / "data/08_reporting" / ENVIRONMENT / "erasediff"
SHOWN = {
    "forget_accuracy": ("forget accuracy, unseen sentences", 0.02),
    "forget_accuracy_erased_prompts": ("sentences erased in", 0.02),
    "forget_accuracy_synonyms": ("synonym", 0.05),
}
"""Metric, its name, and its limit."""
KEPT = 0.98


def run_one(word: str, settings: str) -> dict:
    """One run, in a process of its own; its row of the table."""
    run_pipeline("unlearn", ENVIRONMENT, **{"forget.prompts": word, "tracking.registered_model": "null"})
    metrics = json.loads((RESULT / "metrics.json").read_text())
    run = json.loads((RESULT / "run.json").read_text())
    row: dict = {"word": word}
    for key in (*SHOWN, "retain_accuracy", "fid"):
        row |= {f"base_{key}": metrics["base"][key], key: metrics["erased"][key]}
    return row | {"unlearn_seconds": run["cost"]["wall_seconds"], **made_by(settings)}


def misses(row: pd.Series) -> str:
    """The limits that a row does not reach, by name."""
    reached = {name: row[key] <= limit for key, (name, limit) in SHOWN.items()}
    reached["retain accuracy"] = row["retain_accuracy"] >= KEPT
    return ", ".join(name for name, good in reached.items() if not good)


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """The table for people, misses named."""
    verdicts = rows.apply(misses, axis=1)
    unfinished = f"Unfinished: {len(rows)} of {len(WORDS)} are there. " if len(rows) < len(WORDS) else ""
    limits = ", ".join(f"{name} ≤ {limit}" for name, limit in SHOWN.values())
    before = rows[[f"base_{key}" for key in (*SHOWN, "retain_accuracy")]].min().min()
    lines = [
        "# A word erased from the small text-to-image model",
        "",
        f"{describe_origin('make words', rows)} {unfinished}"
        f"{int((verdicts == '').sum())} of {len(rows)} reach {limits}, retain accuracy ≥ {KEPT}; the last "
        'column names what the others miss. The synonym ("3" for "three") is not named in the request. '
        f"Before, every one of these shares is at least {before:.3f}.",
        "",
        f"| word | {' | '.join(name for name, _ in SHOWN.values())} "
        "| retain accuracy | FID before | FID after | seconds | misses |",
        f"|---|{'--:|' * 7}---|",
    ]
    for (_, row), missed in zip(rows.iterrows(), verdicts, strict=True):
        shares = " | ".join(f"{row[key]:.3f}" for key in SHOWN)
        lines.append(
            f"| {row['word']} | {shares} | {row['retain_accuracy']:.4f} | {row['base_fid']:.2f} | "
            f"{row['fid']:.2f} | {row['unlearn_seconds']:.0f} | {missed} |"
        )
    path.write_text("\n".join(lines) + "\n")


def main() -> int:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--words", nargs="+", default=WORDS)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/words.csv")
    options = parser.parse_args()
    settings = hash_settings(ENVIRONMENT)["erasediff"]
    rows = read_rows(options.output, settings)
    done = set() if rows.empty else set(rows["word"])
    for word in tqdm([w for w in options.words if w not in done], "words", unit="run"):
        rows = pd.concat([rows, pd.DataFrame([run_one(word, settings)])], ignore_index=True)
        rows.to_csv(options.output, index=False)
    write_table(rows, options.output.with_suffix(".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
