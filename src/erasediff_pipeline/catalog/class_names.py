"""What a source calls its classes, where ``prepare`` was run here."""

import json
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError


class ClassNames(AbstractDataset[Any, dict[int, str]]):
    """The names in ``source.json`` by label; none where that is missing, as with images from ``dvc pull``.

    Args:
        filepath: What ``prepare`` reports of its source, which another dataset writes.
        metadata: Kept for plugins, not read here.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[int, str]:
        if not self._filepath.exists():
            return {}
        return {row["label"]: row["name"] for row in json.loads(self._filepath.read_text())["classes"]}

    def save(self, data: Any) -> None:
        raise DatasetError("the names of the classes are written by prepare")

    def _exists(self) -> bool:
        return True  # a name may be missing, the run goes on

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
