"""Nodes of ``sign`` and ``verify``, for the folders of a model and of its evidence."""

from pathlib import Path
from typing import Any

from erasediff_pipeline.config import SigningSettings
from erasediff_pipeline.diffusion.io import load_model
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evidence.recorded import check_files, check_run, hash_model
from erasediff_pipeline.evidence.signature import sign_folder, verify_folder
from erasediff_pipeline.evidence.signed import read_evidence
from erasediff_pipeline.paths import project_root, relative

OF_A_MODEL = {".json", ".safetensors", ".md", ".txt", ".model", ".jinja"}
"""Suffixes of what diffusers and transformers save, and of the model card."""


def sign(model: Path, evidence: Path, run: dict[str, Any], settings: SigningSettings) -> tuple[str, str]:
    """Sign a model and its evidence, which must be those of this run, as it and its audit have written them.

    Raises:
        MissingInput: A file was changed, added or removed, or another run was audited.
        BadSignature: The evidence is of another model.
    """
    loaded = load_model(model)
    check_run(run, hash_model(loaded), f"signing.model: {settings.model!r}")
    read_evidence(loaded, model, evidence)
    check_files(evidence, run)
    for file in sorted(path for path in model.rglob("*") if path.is_file()):
        if file.suffix not in OF_A_MODEL:
            raise MissingInput(f"{relative(file)} is not of a model: move it to another folder")
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
    document = read_evidence(load_model(model), model, evidence)
    return {
        "model": relative(model),
        "evidence": relative(evidence),
        "erased_model_sha256": document.provenance["erased_model_sha256"],
        "request": document.request.to_json(),
        "verdict": document.verdict,
        "files": sum(path.is_file() for folder in (model, evidence) for path in folder.rglob("*")),
    }
