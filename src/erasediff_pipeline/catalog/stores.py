"""Folders that a node fills one result at a time, so a stopped run loses at most one result."""

from typing import Any, ClassVar, Generic, TypeVar

from kedro.io import DatasetError

from erasediff_pipeline.catalog.folder import FolderDataset
from erasediff_pipeline.data.image_store import ImageStore
from erasediff_pipeline.experiments.store import TrialStore

S = TypeVar("S", ImageStore, TrialStore)


class _StoreDataset(FolderDataset[S], Generic[S]):
    """Hands the store to a node, which writes to it itself."""

    store: ClassVar[type]

    def load(self) -> S:
        return self.store(self._filepath)

    def save(self, data: Any) -> None:
        raise DatasetError("a node writes to the store itself")

    def _exists(self) -> bool:
        return True  # an empty store is one, too


class ImageStoreDataset(_StoreDataset[ImageStore]):
    """Drawn images."""

    store = ImageStore


class TrialStoreDataset(_StoreDataset[TrialStore]):
    """Trained trials and the answers of audits."""

    store = TrialStore
