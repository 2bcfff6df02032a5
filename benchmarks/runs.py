"""What the benchmarks share: runs kept apart from the reference result, rows that know what made them."""

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
from typing import Any

import pandas as pd

from erasediff_pipeline.config.deciding import settings_of
from erasediff_pipeline.diffusion.io import load_model
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS
from erasediff_pipeline.tracking.provenance import describe_provenance
from erasediff_pipeline.unlearning.registry import METHODS

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = "sweep"
REFERENCE = {"03_primary": ["images", "manifest.parquet"], "06_models": ["base", "classifier"]}


def copy_reference() -> None:
    """Give the environment the reference data and models."""
    for layer, names in REFERENCE.items():
        for name in names:
            source, copy = ROOT / "data" / layer / name, ROOT / "data" / layer / ENVIRONMENT / name
            if copy.is_dir():
                shutil.rmtree(copy)
            copy.parent.mkdir(exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)


def run_pipeline(name: str, environment: str = ENVIRONMENT, **parameters: object) -> None:
    """The command that a user types; where it fails, this ends with what it said."""
    parameters["gates.enforce"] = False  # a row that misses a gate is a row
    given = ",".join(f"{key}={value}" for key, value in parameters.items())
    command = ["kedro", "run", f"--env={environment}", f"--pipeline={name}", f"--params={given}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def read_parameters(environment: str = ENVIRONMENT) -> dict[str, Any]:
    """The environment's parameters, as a run would read them."""
    return CONFIG_LOADER_CLASS(str(ROOT / "conf"), env=environment, **CONFIG_LOADER_ARGS)["parameters"]


def hash_settings(environment: str = ENVIRONMENT, sections: tuple[str, ...] = ()) -> dict[str, str]:
    """What decides a row beside request and seed: the method's settings, the base model and the judge.

    Args:
        environment: Whose settings they are.
        sections: Other sections of the parameters that decide it, but for the names of models in them.

    Returns:
        A hash for each method, and one for ``base``, the model before any.
    """
    parameters = read_parameters(environment)
    weights = ROOT / "data/06_models" / environment
    base = hash_pipeline(load_model(weights / "base").pipeline)
    judge = hash_file(weights / "classifier/diffusion_pytorch_model.safetensors")
    asked = {
        key: value for key, value in parameters["forget"].items() if key in ("templates", "anchor_prompt")
    }
    others = [
        {
            key: value
            for key, value in parameters[section].items()
            if key not in ("model", "methods", "retrained")
        }
        for section in sections
    ]

    def hash_of(*method_sections: str) -> str:
        deciding = settings_of(parameters, *method_sections)
        settings = {key: value for key, value in deciding.items() if key not in ("forget", "seed")}
        parts = [settings | asked, base, judge, *others]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    return {"base": hash_of(), **{method: hash_of(entry.parameters) for method, entry in METHODS.items()}}


def hash_file(path: Path) -> str:
    """SHA-256 of its bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made_by(settings: str | pd.Series) -> dict[str, Any]:
    """Columns of a row, or of several: where it comes from."""
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


def read_rows(path: Path, settings: str | dict[str, str], column: str = "method") -> pd.DataFrame:
    """The rows that are there already; those of other settings or models would mislead in one table.

    Args:
        settings: What the hash is now, of all rows, or of each method.
        column: Of which method a row is.
    """
    if not path.exists():
        return pd.DataFrame()
    rows = pd.read_csv(path, dtype={"settings": str, "commit": str})
    now = rows[column].map(settings) if isinstance(settings, dict) else settings
    other = rows["settings"] != now
    if other.any():
        said = ", ".join(sorted(rows["settings"][other].unique()))
        of = "" if isinstance(settings, str) else f" of {', '.join(sorted(rows[column][other].unique()))}"
        sys.exit(
            f"{path}: rows{of} are of other settings or models ({said}): remove them, or name another file "
            "with --output"
        )
    return rows


def describe_origin(command: str, rows: pd.DataFrame) -> str:
    """Command, machine, date and commit, for the head of a table; more than one of a kind are all named."""
    machine, date, commit, settings = (
        between.join(sorted(set(rows[name].astype(str))))
        for name, between in (("machine", " and "), ("date", ", "), ("commit", ", "), ("settings", ", "))
    )
    if rows["settings"].nunique() > 2:  # one a method
        settings = "in the CSV"
    return f"`{command}` on {machine}; {date}; commit {commit}; settings {settings}."
