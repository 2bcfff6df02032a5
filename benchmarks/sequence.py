"""Five requests in a row, each on the model that the one before has left.

make sequence         writes benchmarks/sequence.md
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from runs import ENVIRONMENT, ROOT, copy_reference, describe_origin, hash_settings, made_by, run_pipeline

FORGOTTEN, KEPT = 0.05, 0.97
"""The limits at the end: forget accuracy of each digit, at most; retain accuracy, at least. Looser than those
of one request (``sweep.py``), since each of the five costs a little of what the ones before have reached."""
RESULT = ROOT / "data/08_reporting" / ENVIRONMENT / "erasediff/metrics.json"


def erase_next(digit: int, first: bool, settings: str) -> dict:
    """One request; its row of the table."""
    start = "base" if first else "erasediff"
    run_pipeline("unlearn", **{"base": start, "forget.classes": digit, "tracking.registered_model": "null"})
    metrics = json.loads(RESULT.read_text())["erased"]
    by_class = metrics["forget_accuracy_by_class"]
    kept = {key: metrics[key] for key in ("retain_accuracy", "fid", "recall")}
    return {"digit": digit, "by_class": by_class, **kept, **made_by(settings)}


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """A row a request: how much is left of every digit forgotten so far, and of the rest."""
    digits = [str(digit) for digit in rows["digit"]]
    head = [f"forget accuracy of {d}" for d in digits]
    lines = [
        "# Requests in a row",
        "",
        f"{describe_origin('make sequence', rows)} Each request starts from the model that the one before "
        "has left; after each, every digit forgotten so far is measured.",
        "",
        f"| request | {' | '.join(head)} | retain accuracy | FID, retained |",
        f"|---|{'--:|' * (len(digits) + 2)}",
    ]
    for _, row in rows.iterrows():
        left = [f"{row['by_class'][d]:.3f}" if d in row["by_class"] else "–" for d in digits]
        cells = [*left, f"{row['retain_accuracy']:.4f}", f"{row['fid']:.2f}"]
        lines.append(f"| {row['digit']} | {' | '.join(cells)} |")
    path.write_text("\n".join([*lines, "", judge_end(rows.iloc[-1])]) + "\n")


def judge_end(row: pd.Series) -> str:
    """Which limits the last request misses."""
    left = {f"{d} ({value:.3f})": value for d, value in row["by_class"].items()}
    misses = [f"forget accuracy of {name}" for name, value in left.items() if value > FORGOTTEN]
    if row["retain_accuracy"] < KEPT:
        misses.append(f"retain accuracy ({row['retain_accuracy']:.4f})")
    limits = f"forget accuracy at most {FORGOTTEN} for each digit, retain accuracy at least {KEPT}"
    return f"Limits at the end: {limits}. Missed: {', '.join(misses) or 'none'}."


def main() -> int:
    """Run the requests, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--digits", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/sequence.md")
    options = parser.parse_args()
    copy_reference()
    settings = hash_settings()["erasediff"]
    rows = [
        erase_next(digit, position == 0, settings)
        for position, digit in enumerate(tqdm(options.digits, "sequence", unit="request"))
    ]
    write_table(pd.DataFrame(rows), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
