"""The erased model in MLflow's registry, as a pyfunc that draws images, and what was found of it."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import pandas as pd
from kedro.io import AbstractDataset, DatasetError

import erasediff_pipeline
from erasediff_pipeline.paths import project_root

logger = logging.getLogger(__name__)
CANDIDATE, ERASED = "candidate", "erased"
"""Aliases: the newest version, and the newest one of which every gate was checked and held."""


class ModelVersion(NamedTuple):
    """What to register."""

    name: str | None
    """Registered model's name; None registers nothing."""

    tags: dict[str, str]
    """Tags of the version: hashes of base model and forget set, git commit."""

    sampling: dict[str, Any]
    """``SamplingSettings`` as plain values, the default way to draw."""

    asked: str = "label"
    """Whether the model is asked by ``label`` or by ``prompt``."""

    example: int | str = 1
    """A condition to ask for."""


class RegisteredModel(AbstractDataset[ModelVersion, Any]):
    """Saving logs the diffusers directory to the active run and registers it; MLflow itself loads it.

    Args:
        directory: The diffusers directory, which another dataset has written.
        metadata: Kept for plugins, not read here.
    """

    def __init__(self, directory: str, metadata: dict[str, Any] | None = None):
        self._directory = project_root() / directory  # kedro resolves only what is called filepath
        self.metadata = metadata
        self._logging_activated = True  # kedro-mlflow clears it where tracking is off
        self._version: str | None = None

    def save(self, data: ModelVersion) -> None:
        """May be repeated, where the server was gone in the middle of it: one version comes of it."""
        if not self._logging_activated or data.name is None:
            return
        if self._version is None:
            self._version = self.log_model(data)
        client = mlflow.MlflowClient()
        for key, value in data.tags.items():
            client.set_model_version_tag(data.name, self._version, key, value)
        client.set_registered_model_alias(data.name, CANDIDATE, self._version)
        self._version = None

    def log_model(self, data: ModelVersion) -> str:
        """Number of the new version."""
        # Imported late: MLflow looks at the class as it is defined, which only this call needs.
        from erasediff_pipeline.tracking import serving

        example = pd.DataFrame({data.asked: [data.example], "seed": [0], "count": [1]})
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=serving.__file__,
            artifacts={"pipeline": str(self._directory)},
            model_config={"sampling": data.sampling},
            code_paths=[str(Path(erasediff_pipeline.__file__).parent)],
            signature=serving.signature_of(data.asked),
            input_example=example,
            registered_model_name=data.name,
            pip_requirements=serving.REQUIREMENTS,
        )
        return str(info.registered_model_version)

    def load(self) -> Any:
        raise DatasetError("load a version with mlflow.pyfunc.load_model('models:/<name>/<version>')")

    def _exists(self) -> bool:
        return False

    def _describe(self) -> dict[str, Any]:
        return {"directory": str(self._directory)}


class Verdict(NamedTuple):
    """What an audit has found of a model that may be in the registry."""

    erased_model_sha256: str
    passed: bool
    """Whether every gate was checked and held."""

    tags: dict[str, str]


class RegisteredVerdict(AbstractDataset[Verdict, Any]):
    """Saving tags every version with these weights, and gives or takes the alias ``erased``.

    Args:
        metadata: Kept for plugins, not read here.
    """

    def __init__(self, metadata: dict[str, Any] | None = None):
        self.metadata = metadata
        self._logging_activated = True  # kedro-mlflow clears it where tracking is off

    def save(self, data: Verdict) -> None:
        if not self._logging_activated:
            return
        client = mlflow.MlflowClient()
        wanted = f"tags.erased_model_sha256 = '{data.erased_model_sha256}'"
        versions = sorted(client.search_model_versions(wanted), key=lambda found: int(found.version))
        if not versions:
            logger.warning("the registry has no version of this model: its verdict is in the report alone")
        for found in versions:
            for key, value in data.tags.items():
                client.set_model_version_tag(found.name, found.version, key, value)
            aliases = client.get_registered_model(found.name).aliases
            if data.passed and int(aliases.get(ERASED, 0)) <= int(found.version):
                client.set_registered_model_alias(found.name, ERASED, found.version)
            elif not data.passed and str(aliases.get(ERASED)) == str(found.version):
                client.delete_registered_model_alias(found.name, ERASED)

    def load(self) -> Any:
        raise DatasetError("the verdict is in the tags of the model's version")

    def _exists(self) -> bool:
        return False

    def _describe(self) -> dict[str, Any]:
        return {}
