"""MLflow's registry as datasets."""

from typing import Any

from kedro.io import AbstractDataset, DatasetError

from erasediff_pipeline.paths import project_root
from erasediff_pipeline.tracking.registry import ModelVersion, Verdict, record_verdict, register_version


class _WriteOnly(AbstractDataset[Any, Any]):
    def __init__(self, metadata: dict[str, Any] | None = None):
        self.metadata = metadata
        self._logging_activated = True  # kedro-mlflow clears it if tracking is off

    def load(self) -> Any:
        raise DatasetError("load a version with mlflow.pyfunc.load_model('models:/<name>/<version>')")

    def _exists(self) -> bool:
        return False

    def _describe(self) -> dict[str, Any]:
        return {}


class RegisteredModel(_WriteOnly):
    """Saving registers the model in ``directory``, which another dataset has written.

    Args:
        directory: The diffusers directory.
        metadata: Kept for plugins, not read here.
    """

    def __init__(self, directory: str, metadata: dict[str, Any] | None = None):
        super().__init__(metadata)
        self._directory = project_root() / directory  # Kedro resolves only what is called filepath

    def save(self, data: ModelVersion) -> None:
        if self._logging_activated:
            register_version(self._directory, data)


class RegisteredVerdict(_WriteOnly):
    """Saving records the verdict of an audit at every version with these weights."""

    def save(self, data: Verdict) -> None:
        if self._logging_activated:
            record_verdict(data)
