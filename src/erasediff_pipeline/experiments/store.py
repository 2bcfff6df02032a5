"""A folder of finished results, each with a description of its inputs."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from erasediff_pipeline.files import atomic_directory
from erasediff_pipeline.hashing import hash_files

logger = logging.getLogger(__name__)
KEY = "made_from.json"
FILES = "files"
"""Key in it: the SHA-256 of each file of the result."""
T = TypeVar("T")


class TrialStore:
    """Reads a result, or computes it if it is missing or comes from other inputs.

    Args:
        folder: Its root; each result is a folder in it.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def once(
        self,
        place: str,
        made_from: dict[str, Any],
        make: Callable[[], T],
        save: Callable[[Path, T], None],
        load: Callable[[Path], T],
    ) -> T:
        """Return the result at ``place``.

        Args:
            place: Folder below the root.
            made_from: All inputs of the result, as plain JSON.
            make: Computes the result; an earlier one stays until the new one is complete.
            save: Writes the result to an empty folder.
            load: Reads the result from its folder.

        Returns:
            The result of ``load``, whether stored before or just now.
        """
        path = self.folder / place
        if not self.holds(place, made_from):
            result = make()
            with atomic_directory(path) as fresh:
                save(fresh, result)
                noted = {**made_from, FILES: hash_files(fresh)}
                (fresh / KEY).write_text(json.dumps(noted, indent=2, sort_keys=True) + "\n")
        return load(path)

    def holds(self, place: str, made_from: dict[str, Any]) -> bool:
        """Whether the result is stored, made from these inputs, and as it was stored."""
        path = self.folder / place
        try:
            noted = json.loads((path / KEY).read_text())
        except (FileNotFoundError, ValueError):  # missing, or neither JSON nor text
            return False
        files = noted.pop(FILES, {}) if isinstance(noted, dict) else {}  # earlier versions noted none
        if noted != json.loads(json.dumps(made_from)):
            return False
        if files.items() <= (hash_files(path) if files else {}).items():
            return True
        logger.warning("%s was changed after it was made: it is made again", path)
        return False
