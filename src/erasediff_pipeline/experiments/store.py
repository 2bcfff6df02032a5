"""A folder of finished work, each piece beside the hash of what it was made from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from erasediff_pipeline.files import atomic_directory

KEY = "made_from.json"
T = TypeVar("T")


class TrialStore:
    """Makes a piece where it is missing or was made from something else, and reads it otherwise.

    Args:
        folder: Its root; a piece is a folder below it.
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
        """The piece at ``place``.

        Args:
            place: Folder below the root.
            made_from: Plain JSON: everything that decides the piece.
            make: Makes it; what is there stays until it is whole.
            save: Writes it to a given empty folder.
            load: Reads it back.

        Returns:
            What ``load`` reads, whether it was there or has just been made.
        """
        path = self.folder / place
        if not self.holds(place, made_from):
            piece = make()
            with atomic_directory(path) as fresh:
                save(fresh, piece)
                (fresh / KEY).write_text(json.dumps(made_from, indent=2, sort_keys=True) + "\n")
        return load(path)

    def holds(self, place: str, made_from: dict[str, Any]) -> bool:
        """Whether the piece is there, made from just this."""
        key = self.folder / place / KEY
        try:
            return json.loads(key.read_text()) == json.loads(json.dumps(made_from))
        except (FileNotFoundError, ValueError):  # missing, or neither JSON nor text
            return False
