"""Look up versions in MLflow's registry, by name or by forget request."""

import mlflow
from mlflow.entities.model_registry import ModelVersion

LABELS = {
    "request": "request",
    "forget_sha256": "forget set",
    "retain_sha256": "retain set",
    "base_model_sha256": "base model",
    "erased_model_sha256": "erased model",
    "git_commit": "git commit",
    "gates": "gates",
    "audit_run_id": "audit run",
}
"""Tags of a version that are shown, and their labels."""


def find_versions(model: str | None, number: int | None, request: str | None) -> list[ModelVersion]:
    """Find versions of erased models, sorted by name and number.

    Args:
        model: Name in the registry; None for every model.
        number: Number of the version; None for every version.
        request: First digits of the hash of the forget set; None for every request.
    """
    client = mlflow.MlflowClient()
    found = client.search_model_versions(f"name = '{model}'" if model else "")
    chosen = [
        version
        for version in found
        if "forget_sha256" in version.tags
        and (number is None or int(version.version) == number)
        and (request is None or version.tags["forget_sha256"].startswith(request))
    ]
    # A search returns no aliases.
    chosen = [client.get_model_version(version.name, str(version.version)) for version in chosen]
    return sorted(chosen, key=lambda version: (version.name, int(version.version)))


def describe_version(version: ModelVersion) -> str:
    """Describe a version: its request, hashes, run and gates; a line each."""
    aliases = f" ({', '.join(sorted(version.aliases))})" if version.aliases else ""
    lines = [f"  {name + ':':<16}{version.tags[tag]}" for tag, name in LABELS.items() if tag in version.tags]
    return "\n".join(
        [f"{version.name} {version.version}{aliases}", f"  {'run:':<16}{version.run_id}", *lines]
    )
