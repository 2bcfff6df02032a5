"""Labelled images on disk."""

from erasediff_pipeline.catalog.folder import FolderDataset
from erasediff_pipeline.data.image_files import load_images, save_images
from erasediff_pipeline.data.images import LabelledImages


class LabelledImagesDataset(FolderDataset[LabelledImages]):
    """A folder of two arrays, the images memory-mapped when read."""

    def load(self) -> LabelledImages:
        return load_images(self._filepath)

    def save(self, data: LabelledImages) -> None:
        save_images(data, self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / "images.npy").exists()
