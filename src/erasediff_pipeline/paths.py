"""The few places on disk that are not in the catalog, and how a place is told."""

import os
import shutil
from pathlib import Path

from kedro.utils import find_kedro_project

from erasediff_pipeline.errors import UserError

CHECKOUT = Path(__file__).resolve().parents[2]
NEEDED_BYTES = 64 * 2**20
environment = ""
"""The catalog's ``globals:environment`` of this run, empty or ``<name>/``; set as the run begins."""


def project_root() -> Path:
    """The project that Kedro's commands find from the working directory; outside of any, this checkout."""
    return find_kedro_project(Path.cwd()) or CHECKOUT


def relative(path: Path) -> str:
    """As the user sees it from the project's root."""
    root = project_root()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def checkpoint_path(*names: str) -> Path:
    """Where a training keeps its checkpoint until it succeeds; outside everything DVC cleans."""
    return project_root() / "data/.checkpoints" / environment / f"{'-'.join(names)}.safetensors"


def check_writable(path: Path) -> None:
    """Refuse a read-only or nearly full place; ``path`` itself need not exist yet."""
    place = path.parent
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        raise UserError(f"{relative(path)}: {relative(place)} is read-only: make it writable")
    free = shutil.disk_usage(place).free
    if free < NEEDED_BYTES:
        raise UserError(
            f"{relative(path)}: {free // 2**20} MiB are free there, {NEEDED_BYTES // 2**20} MiB are needed"
        )
