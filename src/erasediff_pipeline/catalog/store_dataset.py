"""A dataset that is a folder which a node fills as it goes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from kedro.io import AbstractDataset, DatasetError

S = TypeVar("S")


class StoreDataset(AbstractDataset[Any, S], Generic[S]):
    """Hands the store to a node, which writes to it itself.

    Args:
        filepath: The folder.
        metadata: Kept for plugins, not read here.
    """

    store: Callable[[Path], S]
    """Opens the folder; given by the kind of store."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> S:
        return type(self).store(self._filepath)

    def save(self, data: Any) -> None:
        raise DatasetError("a node writes to the store itself")

    def _exists(self) -> bool:
        return True  # an empty store is one, too

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
