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

import pandas as pd

from erasediff_pipeline.catalog import DiffusersDirectory
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.pipelines.unlearn.nodes import settings_of
from erasediff_pipeline.reporting.provenance import describe_provenance
from erasediff_pipeline.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

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


def hash_settings(*methods: str, environment: str = ENVIRONMENT, sections: tuple[str, ...] = ()) -> str:
    """What decides a row beside request and seed: the settings, the base model and the judge.

    Args:
        methods: Whose settings decide it.
        environment: Whose settings they are.
        sections: Other sections of the parameters that decide it.
    """
    conf = CONFIG_LOADER_CLASS(str(ROOT / "conf"), env=environment, **CONFIG_LOADER_ARGS)
    deciding = settings_of(conf["parameters"], *methods)
    weights = ROOT / "data/06_models" / environment
    judge = (weights / "classifier/diffusion_pytorch_model.safetensors").read_bytes()
    parts = [
        {key: value for key, value in deciding.items() if key not in ("forget", "seed")}
        | {
            key: deciding["forget"][key]
            for key in ("templates", "anchor_prompt")
            if key in deciding["forget"]
        },
        hash_pipeline(DiffusersDirectory(str(weights / "base"), "diffusers.DiffusionPipeline").load()),
        hashlib.sha256(judge).hexdigest(),
    ]
    parts += [conf["parameters"][section] for section in sections]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def made_by(settings: str) -> dict[str, str]:
    """Columns of a row: where it comes from."""
    told = describe_provenance({})
    return {
        "commit": f"{told['git_commit'] or 'none'}"[:12] + ("" if told["git_clean"] else " with changes"),
        "settings": settings,
        "machine": f"{name_machine()}, threads: {told['threads']}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def name_machine() -> str:
    """The processor and its cores."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.+)", info.read_text()) if info.exists() else []
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"


def read_rows(path: Path, settings: str) -> pd.DataFrame:
    """The rows that are there already; those of other settings or models would mislead in one table."""
    if not path.exists():
        return pd.DataFrame()
    rows = pd.read_csv(path, dtype={"settings": str, "commit": str})
    other = sorted(set(rows["settings"]) - {settings})
    if other:
        sys.exit(
            f"{path}: rows are of the settings or models {', '.join(other)}, now they are {settings}: "
            "move the file away, or name another with --output"
        )
    return rows


def describe_origin(command: str, rows: pd.DataFrame) -> str:
    """Command, machine, date and commit, for the head of a table; more than one of a kind are all named."""
    machine, date, commit, settings = (
        ", ".join(sorted(set(rows[name].astype(str)))) for name in ("machine", "date", "commit", "settings")
    )
    return f"`{command}` on {machine}; {date}; commit {commit}; settings {settings}."
