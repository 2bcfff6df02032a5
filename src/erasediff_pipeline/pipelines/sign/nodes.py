"""Nodes of ``sign`` and ``verify``: the model's folder and that of its evidence."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from erasediff_pipeline.catalog import DiffusersDirectory
from erasediff_pipeline.config import SigningSettings
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.evidence.document import Evidence
from erasediff_pipeline.evidence.signature import BadSignature, sign_folder, verify_folder
from erasediff_pipeline.paths import project_root, relative


def sign(model: Path, evidence: Path, settings: SigningSettings) -> tuple[str, str]:
    """The two signatures, of a model and evidence that belong together.

    Raises:
        BadSignature: The evidence is of another model.
    """
    read_evidence(model, evidence)
    key = project_root() / settings.private_key
    return sign_folder(model, key, relative(model)), sign_folder(evidence, key, relative(evidence))


def verify(
    model: Path, evidence: Path, model_signature: str, evidence_signature: str, settings: SigningSettings
) -> dict[str, Any]:
    """Hold both folders against their signatures, and the evidence against the model.

    Returns:
        What is vouched for: ``model``, ``erased_model_sha256``, ``request``, ``verdict``, ``files``.

    Raises:
        BadSignature: A file was changed, added or removed, the key is another, or the evidence is of another
            model.
    """
    key = project_root() / settings.public_key
    verify_folder(model, model_signature, key, relative(model))
    verify_folder(evidence, evidence_signature, key, relative(evidence))
    document = read_evidence(model, evidence)
    return {
        "model": relative(model),
        "evidence": relative(evidence),
        "erased_model_sha256": document.provenance["erased_model_sha256"],
        "request": document.request.model_dump(),
        "verdict": document.verdict,
        "files": sum(path.is_file() for folder in (model, evidence) for path in folder.rglob("*")),
    }


def read_evidence(model: Path, evidence: Path) -> Evidence:
    """``evidence.json``, which must be what the schema says, and of this model."""
    file = evidence / "evidence.json"
    try:
        document = Evidence.model_validate_json(file.read_text())
    except (OSError, ValueError) as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole file"
            raise BadSignature(f"{relative(file)}: {where}: {first['msg']}: audit and sign again") from None
        raise BadSignature(f"{relative(file)}: {error}") from None
    weights = hash_pipeline(DiffusersDirectory(str(model), "diffusers.DiffusionPipeline").load())
    said = document.provenance.get("erased_model_sha256")
    if said != weights:
        raise BadSignature(
            f"{relative(file)}: is of a model with the weights {said}, and {relative(model)} has {weights}"
        )
    return document
