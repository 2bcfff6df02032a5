"""Versions of erased models in MLflow's registry: what is registered, and the verdict of an audit."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import pandas as pd

import erasediff_pipeline

logger = logging.getLogger(__name__)
CANDIDATE, ERASED = "candidate", "erased"
"""Aliases: the newest version, and the newest version whose gates were all checked and passed."""


class ModelVersion(NamedTuple):
    """What to register."""

    name: str | None
    """Name of the registered model; None registers nothing."""

    tags: dict[str, str]
    """Tags of the version: hashes of the base model and the forget set, git commit."""

    sampling: dict[str, Any]
    """``SamplingSettings`` as plain values: how the model draws by default."""

    asked: str = "label"
    """Column that asks for an image: ``label`` or ``prompt``."""

    example: int | str = 1
    """A value of that column."""


class Verdict(NamedTuple):
    """Result of an audit, for the versions of the model in the registry."""

    erased_model_sha256: str
    passed: bool
    """Whether every gate was checked and passed."""

    tags: dict[str, str]


def register_version(directory: Path, version: ModelVersion) -> None:
    """Log a diffusers directory to the active run as a model, and register it as ``candidate``.

    After a lost connection the call can be repeated: an outage leaves no second version.
    """
    if version.name is None:
        return
    # Imported late: MLflow inspects the class when it is defined, which only this call needs.
    from erasediff_pipeline.tracking import serving

    client = mlflow.MlflowClient()
    run = mlflow.active_run() or mlflow.start_run()
    registered = client.search_model_versions(f"name = '{version.name}' and run_id = '{run.info.run_id}'")
    if registered:
        number = registered[0].version
    else:
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=serving.__file__,
            artifacts={"pipeline": str(directory)},
            model_config={"sampling": version.sampling},
            code_paths=[str(Path(erasediff_pipeline.__file__).parent)],
            signature=serving.signature_of(version.asked),
            input_example=pd.DataFrame({version.asked: [version.example], "seed": [0], "count": [1]}),
            pip_requirements=serving.REQUIREMENTS,
        )
        number = mlflow.register_model(logged.model_uri, version.name, tags=version.tags).version
    client.set_registered_model_alias(version.name, CANDIDATE, number)


def record_verdict(verdict: Verdict) -> None:
    """Tag every version with these weights, and give it the alias ``erased`` or take it away."""
    client = mlflow.MlflowClient()
    versions = client.search_model_versions(f"tags.erased_model_sha256 = '{verdict.erased_model_sha256}'")
    if not versions:
        logger.warning("the registry has no version of this model: the verdict is only in the report")
    for version in sorted(versions, key=lambda found: int(found.version)):
        for key, value in verdict.tags.items():
            client.set_model_version_tag(version.name, version.version, key, value)
        aliases = client.get_registered_model(version.name).aliases
        if verdict.passed and int(aliases.get(ERASED, 0)) <= int(version.version):
            client.set_registered_model_alias(version.name, ERASED, version.version)
        elif not verdict.passed and str(aliases.get(ERASED)) == str(version.version):
            client.delete_registered_model_alias(version.name, ERASED)
