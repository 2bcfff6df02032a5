"""Versions of erased models in MLflow's registry: what is registered, and the verdict of an audit."""

import hashlib
import logging
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import pandas as pd

import erasediff_pipeline
from erasediff_pipeline.config import SamplingSettings, TrackingSettings
from erasediff_pipeline.data.task import ForgetTask

logger = logging.getLogger(__name__)
CANDIDATE, ERASED = "candidate", "erased"
"""Aliases: the newest version, and the newest version whose gates were all checked and held."""

PROVENANCE_TAGS = (
    "base_model_sha256",
    "erased_model_sha256",
    "forget_sha256",
    "retain_sha256",
    "git_commit",
    "dvc_lock_sha256",
)


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
    held: bool
    """Whether every gate was checked and held."""

    tags: dict[str, str]


def describe_version(
    evidence: dict[str, Any],
    report: str,
    task: ForgetTask,
    tracking: TrackingSettings,
    sampling: SamplingSettings,
) -> ModelVersion:
    """Describe an erased model to the registry.

    Args:
        evidence: ``evidence.json`` of the run that made it.
        report: ``report.html`` of that run; its hash becomes a tag.
        task: Its first retained condition becomes the example.
        tracking: Names the registered model.
        sampling: How the model draws by default.
    """
    number = int(task.retained_numbers[0])
    prompt = task.prompts[number]
    return ModelVersion(
        name=tracking.registered_model and tracking.registered_model.replace("{method}", evidence["method"]),
        tags={
            **{key: str(evidence["provenance"][key]) for key in PROVENANCE_TAGS},
            "request": task.request.in_words(),
            "gates": evidence["verdict"],
            "report_sha256": hashlib.sha256(report.encode()).hexdigest(),
        },
        sampling=sampling.model_dump(),
        asked="prompt" if prompt else "label",
        example=prompt or number,
    )


def describe_verdict(erased_model_sha256: str, verdict: str, held: bool, report: str) -> Verdict:
    """Describe the outcome of an audit to the registry.

    Args:
        erased_model_sha256: Weights of the audited model.
        verdict: Of ``evidence.json``.
        held: Whether every gate was checked and held.
        report: ``report.html`` of the audit; its hash becomes a tag.
    """
    run = mlflow.active_run()
    return Verdict(
        erased_model_sha256,
        held,
        {
            "gates": verdict,
            "audit_report_sha256": hashlib.sha256(report.encode()).hexdigest(),
            "audit_run_id": run.info.run_id if run else "none",
        },
    )


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
        if verdict.held and int(aliases.get(ERASED, 0)) <= int(version.version):
            client.set_registered_model_alias(version.name, ERASED, version.version)
        elif not verdict.held and str(aliases.get(ERASED)) == str(version.version):
            client.delete_registered_model_alias(version.name, ERASED)
