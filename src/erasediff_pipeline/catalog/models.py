"""Folders with models, as ``from_pretrained`` loads them."""

from typing import Any, Generic

from erasediff_pipeline.catalog.folder import FolderDataset, T
from erasediff_pipeline.diffusion.io import (
    ModelWithHistory,
    load_model,
    save_model,
    save_reproducibly,
)
from erasediff_pipeline.errors import MissingInput, in_one_line
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier, SavedClassifier
from erasediff_pipeline.files import atomic_directory
from erasediff_pipeline.paths import relative


class _ModelFolder(FolderDataset[T], Generic[T]):
    """A folder with a model in it."""

    def _exists(self) -> bool:
        return any((self._filepath / name).exists() for name in ("model_index.json", "config.json"))


class PipelineFolder(_ModelFolder[ModelWithHistory]):
    """A diffusers pipeline, with the requests that it has answered.

    Args:
        filepath: The folder.
        half: Store the weights as 16-bit floats, in half the space; they are loaded as 32-bit ones.
        metadata: Kept for plugins, not read here.
    """

    def __init__(self, filepath: str, half: bool = False, metadata: dict[str, Any] | None = None):
        super().__init__(filepath, metadata)
        self._half = half

    def load(self) -> ModelWithHistory:
        return load_model(self._filepath)

    def save(self, data: ModelWithHistory) -> None:
        save_model(data, self._filepath, self._half)


class ClassifierFolder(_ModelFolder[AnyClassifier]):
    """The classifier of samples, loaded as the class that it was saved as."""

    def load(self) -> AnyClassifier:
        options = {"use_safetensors": True, "local_files_only": True}
        try:
            return SavedClassifier.from_pretrained(str(self._filepath), **options)
        except Exception as error:  # diffusers and safetensors raise many kinds
            raise MissingInput(
                f"classifier: {relative(self._filepath)} cannot be loaded: {in_one_line(error)}: restore it, "
                "or make it again with `kedro run --pipeline=judge`"
            ) from error

    def save(self, data: AnyClassifier) -> None:
        with atomic_directory(self._filepath) as fresh:
            save_reproducibly(data, fresh)
