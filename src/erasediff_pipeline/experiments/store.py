"""A folder of finished results, each with a description of its inputs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from erasediff_pipeline.files import atomic_directory

KEY = "made_from.json"
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
                (fresh / KEY).write_text(json.dumps(made_from, indent=2, sort_keys=True) + "\n")
        return load(path)

    def holds(self, place: str, made_from: dict[str, Any]) -> bool:
        """Whether the result is stored, made from these inputs."""
        key = self.folder / place / KEY
        try:
            return json.loads(key.read_text()) == json.loads(json.dumps(made_from))
        except (FileNotFoundError, ValueError):  # missing, or neither JSON nor text
            return False
