"""Every method on the word "three" of the small text-to-image model, by the command that a user types.

    make compare-words    writes benchmarks/words_comparison.csv and .md, and goes on where it stopped

It runs in the environment ``tiny_text_to_image`` itself, and so replaces the comparison there. One seed.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from comparison import compare, name_nearest, table_of
from runs import ROOT, describe_origin, hash_settings, made_by, run_pipeline
from words import ENVIRONMENT

RESULT = ROOT / "data/08_reporting" / ENVIRONMENT / "compare"
SHOWN = ["forget_accuracy", "retain_accuracy", "fid", "recall", "wall_seconds", "distance"]


def run() -> pd.DataFrame:
    """The comparison, in a process of its own; a row a method."""
    run_pipeline("compare", ENVIRONMENT)
    rows = pd.read_csv(RESULT / "trials.csv")
    return rows.assign(**made_by(rows["method"].map(hash_settings(ENVIRONMENT))))


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """The table for people, nearest to the retrained model first."""
    summary = compare(rows)
    front = summary[summary["front"]]["method"]
    nearest = name_nearest(summary.assign(front=False)).split(". ")[0]
    lines = [
        '# Every method on the word "three"',
        "",
        f"{describe_origin('make compare-words', rows)} One seed, no intervals: differences of a few "
        "thousandths say nothing. Forget accuracy: of the word in sentences that were not used. "
        "The distance is that to the model whose U-Net was retrained without the class, a mean over the "
        "metrics (`evaluation/comparison.py`). A trial that was there already, from the same code, settings "
        "and weights, is kept with its seconds. The settings are EraseDiff's, tuned for it on the words for "
        "2 and 8. Every figure: [words_comparison.csv](words_comparison.csv).",
        "",
        *table_of(summary, SHOWN),
        "",
        f"{nearest}. On the Pareto front of FID against forget accuracy: "
        f"{', '.join(f'`{method}`' for method in front)}.",
    ]
    path.write_text("\n".join(lines) + "\n")


def main() -> int:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/words_comparison.csv")
    options = parser.parse_args()
    rows = run()
    rows.to_csv(options.output, index=False)
    write_table(rows, options.output.with_suffix(".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
