"""Nodes of ``sign`` and ``verify``, for the folders of a model and of its evidence."""

from pathlib import Path
from typing import Any

from erasediff_pipeline.config import SigningSettings
from erasediff_pipeline.evidence.signature import sign_folder, verify_folder
from erasediff_pipeline.evidence.signed import read_evidence
from erasediff_pipeline.paths import project_root, relative


def sign(model: Path, evidence: Path, settings: SigningSettings) -> tuple[str, str]:
    """Sign a model and its evidence, which must belong together.

    Raises:
        BadSignature: The evidence is of another model.
    """
    read_evidence(model, evidence)
    key = project_root() / settings.private_key
    return sign_folder(model, key, relative(model)), sign_folder(evidence, key, relative(evidence))


def verify(
    model: Path, evidence: Path, model_signature: str, evidence_signature: str, settings: SigningSettings
) -> dict[str, Any]:
    """Verify both folders against their signatures, and the evidence against the model.

    Returns:
        What was verified: ``model``, ``erased_model_sha256``, ``request``, ``verdict``, ``files``.

    Raises:
        BadSignature: A file was changed, added or removed, another key signed it, or the evidence is of
            another model.
    """
    key = project_root() / settings.public_key
    verify_folder(model, model_signature, key, relative(model))
    verify_folder(evidence, evidence_signature, key, relative(evidence))
    document = read_evidence(model, evidence)
    return {
        "model": relative(model),
        "evidence": relative(evidence),
        "erased_model_sha256": document.provenance["erased_model_sha256"],
        "request": document.request.to_json(),
        "verdict": document.verdict,
        "files": sum(path.is_file() for folder in (model, evidence) for path in folder.rglob("*")),
    }
