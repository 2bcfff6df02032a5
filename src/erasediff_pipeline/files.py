"""A directory appears whole or not at all."""

import glob
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp


def unfinished_of(path: Path) -> list[Path]:
    """What ``atomic_directory`` was writing to when it was killed: eight characters are ``mkdtemp``'s."""
    return list(path.parent.glob(f".{glob.escape(path.name)}-????????"))


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give a temporary directory beside ``path`` to write to, and rename it to ``path`` at success.

    An earlier ``path`` stays as it was until then, and for good where the block raises. What one that was
    killed has left goes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for unfinished in unfinished_of(path):
        shutil.rmtree(unfinished)
    work = Path(mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        fresh = work / "fresh"
        fresh.mkdir()
        yield fresh
        earlier = work / "earlier"
        if path.exists():
            path.rename(earlier)
        try:
            fresh.rename(path)
        except OSError:
            if earlier.exists():
                earlier.rename(path)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
