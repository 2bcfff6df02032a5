"""Atomic writes: a file or a directory appears whole or not at all.

A killed write leaves files only in one hidden directory beside its target, ``.<name>.part``. This includes
the ``.tmp??????`` file that safetensors writes first, in the directory of the target.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEFTOVERS = ".*.part"
"""Glob of the leftovers of killed writes in a directory, see ``leftovers_of``."""


def leftovers_of(path: Path) -> list[Path]:
    """Find the leftovers of a killed ``atomic_file(path)`` or ``atomic_directory(path)``: none or one."""
    work = _work_directory(path)
    return [work] if work.exists() else []


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and move that file to ``path`` at success.

    The temporary path is on the same disk, in a directory of its own, and has the name of ``path``. An
    earlier file at ``path`` stays until then, and for good if the block raises.
    """
    with _working_directory(path) as work:
        yield work / path.name
        (work / path.name).replace(path)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary directory to write to, and move it to ``path`` at success.

    An earlier directory at ``path`` stays until then, and for good if the block raises. A write that was
    killed between the two moves has left it in the hidden directory: it is put back first.
    """
    if not path.exists() and (lost := _work_directory(path) / "earlier").exists():
        lost.rename(path)
    with _working_directory(path) as work:
        fresh, earlier = work / "fresh", work / "earlier"
        fresh.mkdir()
        yield fresh
        if path.exists():
            path.rename(earlier)
        try:
            fresh.rename(path)
        except OSError:
            if earlier.exists():
                earlier.rename(path)
            raise


def _work_directory(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


@contextmanager
def _working_directory(path: Path) -> Iterator[Path]:
    """Create an empty hidden directory beside ``path``, and parents of ``path``; remove it at the end."""
    work = _work_directory(path)
    shutil.rmtree(work, ignore_errors=True)  # left by a killed write
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
