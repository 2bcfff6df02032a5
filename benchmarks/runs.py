"""Shared by the benchmarks: runs apart from the reference result, and rows with their provenance."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from erasediff_pipeline.config.deciding import settings_of
from erasediff_pipeline.diffusion.io import load_model
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS
from erasediff_pipeline.tracking.provenance import describe_provenance
from erasediff_pipeline.unlearning.registry import METHODS

ROOT = Path(__file__).resolve().parents[1]
SWEEP = "sweep"
"""Environment of the benchmarks on digits."""
TUNED_ON = (1, 9)
"""Digits on which settings are chosen; the tables of results report the others."""
REFERENCE = {"03_primary": ["images", "manifest.parquet"], "06_models": ["base", "classifier"]}


def copy_reference() -> None:
    """Copy the reference data and models to ``SWEEP``."""
    for layer, names in REFERENCE.items():
        for name in names:
            source, copy = ROOT / "data" / layer / name, ROOT / "data" / layer / SWEEP / name
            if copy.is_dir():
                shutil.rmtree(copy)
            copy.parent.mkdir(exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)


def run_pipeline(name: str, environment: str, **parameters: object) -> None:
    """Run the command that a user types; exit with its output if it fails."""
    parameters["gates.enforce"] = False  # a row that fails a gate is a row
    given = ",".join(f"{key}={value}" for key, value in parameters.items())
    command = ["kedro", "run", f"--env={environment}", f"--pipeline={name}", f"--params={given}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def read_parameters(environment: str) -> dict[str, Any]:
    """The parameters of an environment, as a run reads them."""
    return CONFIG_LOADER_CLASS(str(ROOT / "conf"), env=environment, **CONFIG_LOADER_ARGS)["parameters"]


def hash_settings(environment: str, sections: tuple[str, ...] = (), trains: bool = False) -> dict[str, str]:
    """What decides a row beside request and seed: settings of the method, base model and classifier.

    Args:
        environment: Name of the Kedro environment.
        sections: More sections of the parameters that decide the row; names of models in them do not count.
        trains: Each row has a base model and a classifier of its own: they are left out.

    Returns:
        A hash for each method, and one for ``base``, the base model.
    """
    parameters = read_parameters(environment)
    weights = ROOT / "data/06_models" / environment
    base = None if trains else hash_pipeline(load_model(weights / "base").pipeline)
    judge = weights / "classifier/diffusion_pytorch_model.safetensors"
    classifier = None if trains else hash_file(judge)
    wording = {k: v for k, v in parameters["forget"].items() if k in ("templates", "anchor_prompt")}
    models = ("model", "methods", "retrained")
    others = [{k: v for k, v in parameters[section].items() if k not in models} for section in sections]

    def hash_of(*method_sections: str) -> str:
        deciding = settings_of(parameters, *method_sections)
        settings = {key: value for key, value in deciding.items() if key not in ("forget", "seed")}
        parts = [settings | wording, base, classifier, *others]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    return {"base": hash_of(), **{method: hash_of(entry.parameters) for method, entry in METHODS.items()}}


def hash_file(path: Path) -> str:
    """SHA-256 of its bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made_by(settings: str | pd.Series) -> dict[str, Any]:
    """Provenance of rows: commit, settings, machine and date."""
    told = describe_provenance({})
    return {
        "commit": f"{told['git_commit'] or 'none'}"[:12] + ("" if told["git_clean"] else " with changes"),
        "settings": settings,
        "machine": f"{name_machine()}, threads: {told['threads']}"
        + ("" if told["device"] == "cpu" else f", {told['device']}, torch {told['packages']['torch']}"),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def name_machine() -> str:
    """The processor and its cores."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.+)", info.read_text()) if info.exists() else []
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"


def read_rows(path: Path, settings: dict[str, str], column: str | None = None) -> pd.DataFrame:
    """The rows of a CSV, if there is one; rows of other settings or models would mislead in one table.

    Args:
        path: Of the CSV.
        settings: Hashes of :func:`hash_settings`.
        column: Names the method of a row; None if all rows are EraseDiff's.

    Raises:
        SystemExit: If a row was made with other settings or models.
    """
    if not path.exists():
        return pd.DataFrame()
    rows = pd.read_csv(path, dtype={"settings": str, "commit": str})
    methods = rows[column] if column else pd.Series("erasediff", rows.index)
    other = rows["settings"] != methods.map(settings)
    if other.any():
        of, made_with = (", ".join(sorted(column[other].unique())) for column in (methods, rows["settings"]))
        sys.exit(
            f"{path}: rows of {of} were made with other settings or models ({made_with}): remove these rows, "
            "or choose another file with --output"
        )
    return rows


def describe_origin(command: str, rows: pd.DataFrame) -> str:
    """Command, machine, date, commit and settings of all rows."""
    machine, date, commit, settings = (
        between.join(sorted(set(rows[name].astype(str))))
        for name, between in (("machine", " and "), ("date", ", "), ("commit", ", "), ("settings", ", "))
    )
    if rows["settings"].nunique() > 2:  # one a method
        settings = "in the CSV"
    return f"`{command}` on {machine}; {date}; commit {commit}; settings {settings}."


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]], left: Sequence[int] = (0,)) -> list[str]:
    """The lines of a table; the columns ``left`` are text, the others are numbers."""
    sides = "".join("---|" if column in left else "--:|" for column in range(len(head)))
    return [f"| {' | '.join(head)} |", f"|{sides}", *(f"| {' | '.join(map(str, row))} |" for row in rows)]
