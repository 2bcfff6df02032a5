"""Provenance of a result: what is needed to reproduce it."""

import hashlib
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import mlflow
import torch

from erasediff_pipeline.data.request import Request
from erasediff_pipeline.paths import project_root

PACKAGES = (
    "erasediff_pipeline",
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "kedro",
    "mlflow",
    "dvc",
)


def describe_provenance(parameters: dict[str, Any]) -> dict[str, Any]:
    """Describe parameters, code, data, packages, device and time of this run, as plain JSON."""
    run = mlflow.active_run()
    return {
        "parameters": parameters,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_clean": _git("status", "--porcelain", "--untracked-files=no", "--", "src", "conf") == "",
        "dvc_lock_sha256": _hash_file("dvc.lock"),
        "mlflow_run_id": run.info.run_id if run else None,
        "packages": {name: _version_of(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def describe_run(
    base_model_sha256: str,
    erased_model_sha256: str,
    request: Request,
    cost: dict[str, Any],
    parameters: dict[str, Any],
    results: dict[str, str],
) -> dict[str, Any]:
    """``run.json``: what a run cost, where its result comes from, and hashes; it differs from run to run."""
    return {
        "cost": cost,
        "results": results,
        "provenance": {
            "base_model_sha256": base_model_sha256,
            "erased_model_sha256": erased_model_sha256,
            "forget_sha256": request.forget_sha256,
            "retain_sha256": request.retain_sha256,
            **describe_provenance(parameters),
        },
    }


def _git(*arguments: str) -> str | None:
    """The output of a git command in the project; None outside a git checkout."""
    try:
        return subprocess.run(
            ["git", *arguments], cwd=project_root(), capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _hash_file(name: str) -> str | None:
    """SHA-256 of a file of the project; None if there is no such file."""
    path = project_root() / name
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _version_of(package: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    try:
        return version(package)
    except ModuleNotFoundError:
        return None
