"""Folders on disk."""

from pathlib import Path
from typing import Any, Generic, TypeVar

from kedro.io import AbstractDataset, DatasetError

T = TypeVar("T")


class FolderDataset(AbstractDataset[T, T], Generic[T]):
    """Base class of datasets that are folders.

    Args:
        filepath: The folder; relative ones are below the project's root, as kedro resolves them.
        metadata: Kept for plugins, not read here.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class Folder(FolderDataset[Path]):
    """Hands its path to a node, which reads the files itself."""

    def load(self) -> Path:
        return self._filepath

    def save(self, data: Any) -> None:
        raise DatasetError("a folder is written by the datasets in it")

    def _exists(self) -> bool:
        return self._filepath.is_dir()
