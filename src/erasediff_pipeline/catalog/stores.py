"""Folders that a node fills as it goes, so that a run that stops has lost one piece at most."""

from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from kedro.io import AbstractDataset, DatasetError

from erasediff_pipeline.data.image_store import ImageStore
from erasediff_pipeline.experiments.store import TrialStore

S = TypeVar("S", ImageStore, TrialStore)


class _StoreDataset(AbstractDataset[Any, S], Generic[S]):
    """Hands the store to a node, which writes to it itself.

    Args:
        filepath: The folder.
        metadata: Kept for plugins, not read here.
    """

    store: ClassVar[type]

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> S:
        return self.store(self._filepath)

    def save(self, data: Any) -> None:
        raise DatasetError("a node writes to the store itself")

    def _exists(self) -> bool:
        return True  # an empty store is one, too

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class ImageStoreDataset(_StoreDataset[ImageStore]):
    """Drawn images."""

    store = ImageStore


class TrialStoreDataset(_StoreDataset[TrialStore]):
    """Trained trials and the answers of audits."""

    store = TrialStore
