"""From a version in the registry to its request and run, and from a request to the versions made of it."""

import mlflow
from mlflow.entities.model_registry import ModelVersion

TOLD = {
    "request": "request",
    "forget_sha256": "forget set",
    "retain_sha256": "retain set",
    "base_model_sha256": "base model",
    "erased_model_sha256": "erased model",
    "git_commit": "git commit",
    "gates": "gates",
    "audit_run_id": "audited by run",
}
"""Tags of a version, and what they are called."""


def find_versions(model: str | None, number: int | None, request: str | None) -> list[ModelVersion]:
    """Versions of erased models, by name and number.

    Args:
        model: Name in the registry; None for all.
        number: Of the version.
        request: What the hash of the forget set begins with.
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
    # A search does not tell the aliases.
    chosen = [client.get_model_version(version.name, str(version.version)) for version in chosen]
    return sorted(chosen, key=lambda version: (version.name, int(version.version)))


def describe_version(version: ModelVersion) -> str:
    """Its request, the hashes of the split, the run that made it, and whether it passed its gates."""
    aliases = f" ({', '.join(sorted(version.aliases))})" if version.aliases else ""
    lines = [f"  {name + ':':<16}{version.tags[tag]}" for tag, name in TOLD.items() if tag in version.tags]
    return "\n".join(
        [f"{version.name} {version.version}{aliases}", f"  {'run:':<16}{version.run_id}", *lines]
    )
