"""The table of ten digits × three seeds, each by the command that a user types.

    make sweep            writes benchmarks/sweep.csv and benchmarks/sweep.md, and goes on where it stopped

After a change of settings or model, delete the CSV first: rows are told apart by digit and seed alone.
The environment ``sweep`` keeps these runs apart from the reference result.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "data/08_reporting/sweep/erasediff"
REFERENCE = {"03_primary": ["images", "manifest.parquet"], "06_models": ["base", "classifier"]}
LIMITS = {"forget_accuracy": 0.02, "retain_accuracy": 0.99, "fid_ratio": 1.10}


def link_reference() -> None:
    """Give the environment the reference data and models."""
    for layer, names in REFERENCE.items():
        for name in names:
            source, copy = ROOT / "data" / layer / name, ROOT / "data" / layer / "sweep" / name
            if copy.is_dir():
                shutil.rmtree(copy)
            copy.parent.mkdir(exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)


def run_one(digit: int, seed: int) -> dict:
    """One run, in a process of its own; its row of the table."""
    command = ["kedro", "run", "--env=sweep", "--pipeline=unlearn"]
    command.append(f"--params=forget.classes={digit},seed={seed},tracking.registered_model=null")
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    metrics = json.loads((RESULT / "metrics.json").read_text())
    run = json.loads((RESULT / "run.json").read_text())
    base, erased = metrics["base"], metrics["erased"]
    row = {"digit": digit, "seed": seed}
    for key in ("forget_accuracy", "retain_accuracy", "fid", "precision", "recall"):
        row |= {f"base_{key}": base[key], key: erased[key]}
    row["fid_ratio"] = round(erased["fid"] / base["fid"], 4)
    row["unlearn_seconds"] = run["cost"]["wall_seconds"]
    row |= {"commit": run["provenance"]["git_commit"], "settings": hash_settings(run["provenance"])}
    machine = f"{name_machine()}, threads: {run['provenance']['threads']}"
    row |= {"machine": machine, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    return row


def hash_settings(provenance: dict) -> str:
    """What decides a row beside digit and seed: all other parameters, and the base model."""
    parameters = {k: v for k, v in provenance["parameters"].items() if k not in ("forget", "seed")}
    text = json.dumps([parameters, provenance["base_model_sha256"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def name_machine() -> str:
    """The processor and its cores."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.+)", info.read_text()) if info.exists() else []
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"


def passes(row: pd.Series) -> bool:
    """Whether a row reaches all three limits."""
    return bool(
        row["forget_accuracy"] <= LIMITS["forget_accuracy"]
        and row["retain_accuracy"] >= LIMITS["retain_accuracy"]
        and row["fid_ratio"] <= LIMITS["fid_ratio"]
    )


def listed(values: pd.Series) -> str:
    """The different values of a column; more than one means that the rows are not of one sweep."""
    return ", ".join(sorted({str(value) for value in values}))


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """The table for people, misses marked."""
    rows = rows.sort_values(["digit", "seed"])
    verdicts = rows.apply(passes, axis=1)
    unfinished = f"Unfinished: {len(rows)} of 30 runs are there. " if len(rows) < 30 else ""
    lines = [
        "# Ten digits, three seeds",
        "",
        f"`make sweep` on {listed(rows['machine'])}; {listed(rows['date'])}; commit "
        f"{listed(rows['commit'].str[:12])}; settings {listed(rows['settings'])}. "
        f"{unfinished}{int(verdicts.sum())} of {len(rows)} runs "
        f"reach forget accuracy ≤ {LIMITS['forget_accuracy']}, retain accuracy ≥ "
        f"{LIMITS['retain_accuracy']} and FID ≤ {LIMITS['fid_ratio']:.2f} × the base model's. "
        "The settings were tuned on digits other than 3 and 7.",
        "",
        "| digit | seed | forget accuracy | retain accuracy | FID before | FID after | ratio | |",
        "|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for (_, row), good in zip(rows.iterrows(), verdicts, strict=True):
        lines.append(
            f"| {row['digit']} | {row['seed']} | {row['forget_accuracy']:.3f} | "
            f"{row['retain_accuracy']:.4f} | {row['base_fid']:.2f} | {row['fid']:.2f} | "
            f"{row['fid_ratio']:.3f} | {'' if good else 'misses'} |"
        )
    path.write_text("\n".join(lines) + "\n")


def main() -> int:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--digits", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/sweep.csv")
    options = parser.parse_args()
    rows = pd.read_csv(options.output) if options.output.exists() else pd.DataFrame()
    done = set() if rows.empty else set(zip(rows["digit"], rows["seed"], strict=True))
    missing = [(d, s) for d in options.digits for s in options.seeds if (d, s) not in done]
    if missing:
        link_reference()
    for digit, seed in tqdm(missing, "sweep", unit="run"):
        try:
            row = run_one(digit, seed)
        except subprocess.CalledProcessError as error:
            print(f"digit {digit}, seed {seed}: {error.stdout}{error.stderr}", file=sys.stderr)
            return 1
        rows = pd.concat([rows, pd.DataFrame([row])], ignore_index=True)
        rows.to_csv(options.output, index=False)
    write_table(rows, options.output.with_suffix(".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
