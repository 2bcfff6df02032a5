"""Check that evidence belongs to a model."""

from pathlib import Path

from pydantic import ValidationError

from erasediff_pipeline.diffusion.io import HISTORY, ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.evidence.document import Evidence
from erasediff_pipeline.evidence.signature import BadSignature
from erasediff_pipeline.paths import relative


def read_evidence(loaded: ModelWithHistory, model: Path, evidence: Path) -> Evidence:
    """Read ``evidence.json``.

    Args:
        loaded: The model.
        model: Its folder.
        evidence: The folder of its audit.

    Raises:
        BadSignature: It does not match the schema, or is of other weights or of another history.
    """
    file = evidence / "evidence.json"
    try:
        document = Evidence.model_validate_json(file.read_text())
    except (OSError, ValueError) as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole file"
            raise BadSignature(f"{relative(file)}: {where}: {first['msg']}: audit and sign again") from None
        raise BadSignature(f"{relative(file)}: {error}") from None
    weights = hash_pipeline(loaded.pipeline)
    said = document.provenance.get("erased_model_sha256")
    if said != weights:
        raise BadSignature(
            f"{relative(file)} is of a model with the weights {said}, but {relative(model)} has {weights}"
        )
    request, answered = document.request, [entry.forget_sha256 for entry in loaded.history[-1:]]
    if loaded.history[:-1] != request.earlier or answered != [request.forget_sha256]:
        raise BadSignature(
            f"{relative(file)} is of a model that has forgotten {request.in_words()}, but "
            f"{relative(model / HISTORY)} says otherwise: restore it, or audit and sign again"
        )
    return document
