"""Paths of the project."""

import codecs
import locale
import os
import shutil
from pathlib import Path

from kedro.utils import find_kedro_project

from erasediff_pipeline.errors import UserError

CHECKOUT = Path(__file__).resolve().parents[2]
NEEDED_BYTES = 64 * 2**20
RESERVED = "%?*[]{}"
"""Characters of a path that MLflow reads as an address, and Kedro as a pattern."""


def project_root() -> Path:
    """The Kedro project of the working directory; outside of any project, this checkout."""
    return find_kedro_project(Path.cwd()) or CHECKOUT


def relative(path: Path) -> str:
    """The path as text, relative to the project's root if it is below it."""
    root = project_root()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def check_root() -> None:
    """Refuse a project in a folder whose name has a meaning of its own for MLflow or Kedro.

    Raises:
        UserError: The path has a character of ``RESERVED``.
    """
    found = [character for character in RESERVED if character in str(project_root())]
    if found:
        raise UserError(
            f"{project_root()}: MLflow or Kedro take {' and '.join(found)} in the name of a folder for "
            "something else: move the project to another folder"
        )


def check_encoding() -> None:
    """Refuse a locale in which files of text would not be written as UTF-8.

    Raises:
        UserError: Names its encoding.
    """
    encoding = codecs.lookup(locale.getpreferredencoding()).name
    if encoding != "utf-8":
        wrong = f"files would be written as {encoding}, not UTF-8"
        raise UserError(f"LC_ALL or LANG: {wrong}: `export PYTHONUTF8=1`")


def check_writable(path: Path) -> None:
    """Refuse a path that cannot be written to; it need not exist yet.

    Raises:
        UserError: Its folder is read-only, or the disk is nearly full.
    """
    place = path.parent
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        raise UserError(f"{relative(path)}: {relative(place)} is read-only: make it writable")
    free = shutil.disk_usage(place).free
    if free < NEEDED_BYTES:
        raise UserError(
            f"{relative(path)}: {free // 2**20} MiB are free on this disk: free at least "
            f"{NEEDED_BYTES // 2**20} MiB"
        )
