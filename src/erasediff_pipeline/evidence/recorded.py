"""What a run records of its results, so that a later edit is noticed: ``run.json`` and ``files.json``."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.io import HISTORY, ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import fingerprint_pipeline
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.fingerprint import hash_json
from erasediff_pipeline.hashing import hash_files, hash_images, hash_weights
from erasediff_pipeline.paths import relative

SEAL = "sha256"
"""Key of a document's own hash."""
FILES = "files.json"
"""The audit's record of its files, in their folder."""
TABLES = ("damage", "inversion", "leakage", "membership", "relearning")
AUDITED = ("audit.json", "audit.png", "evidence.json", "report.html", *(f"{name}.csv" for name in TABLES))
"""Files that an audit writes, besides ``FILES``."""


def seal(document: dict[str, Any]) -> dict[str, Any]:
    """Add a document's own hash, over its content as JSON holds it."""
    plain = json.loads(json.dumps(document))
    return {**plain, SEAL: hash_json(plain)}


def hash_results(
    metrics: dict[str, Any],
    curves: pd.DataFrame,
    base_samples: LabelledImages,
    erased_samples: LabelledImages,
) -> dict[str, str]:
    """SHA-256 of the content of what a run has measured and drawn, by the name of its file or folder."""
    return {
        "metrics.json": hash_json(metrics),
        "curves.csv": hash_json(curves.to_dict("list")),
        "base_samples": hash_images(base_samples),
        "erased_samples": hash_images(erased_samples),
    }


def hash_judge(classifier: nn.Module) -> dict[str, str]:
    """SHA-256 of the weights of the classifier that judged a run's samples."""
    return {"the classifier": hash_weights(classifier)}


def hash_model(model: ModelWithHistory) -> dict[str, str]:
    """SHA-256 of all that decides a model's images, and of its history."""
    return {
        "the model": fingerprint_pipeline(model.pipeline),
        HISTORY: hash_json({"requests": [entry.to_json() for entry in model.history]}),
    }


def check_run(run: dict[str, Any], found: dict[str, str], where: str) -> None:
    """Refuse results that are not those of their run.

    Args:
        run: ``run.json``.
        found: Hashes of the results, see ``hash_results``, ``hash_model`` and ``hash_judge``.
        where: The key that names the model, and its value.

    Raises:
        MissingInput: ``run.json`` was edited or is of an earlier version, or a result is not the one that it
            records.
    """
    remedy = "restore it, or run the pipeline that makes the model again"
    if not _is_sealed(run) or "results" not in run:
        raise MissingInput(f"{where}: run.json was edited, or an earlier version wrote it: {remedy}")
    for name, sha256 in found.items():
        if run["results"].get(name) != sha256:
            raise MissingInput(f"{where}: {name} is not what its run has recorded in run.json: {remedy}")


def list_files(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Build ``files.json``: the SHA-256 of each file that the audit of this run has written."""
    found = hash_files(folder)
    return seal({"files": {name: found[name] for name in AUDITED}, "run_sha256": run[SEAL]})


def check_files(folder: Path, run: dict[str, Any]) -> None:
    """Refuse a folder of evidence that is not as the audit of this run has written it.

    Raises:
        MissingInput: A file was changed, added or removed, or another run was audited.
    """
    try:
        listed = json.loads((folder / FILES).read_text())
    except (OSError, ValueError):
        listed = None
    if not _is_sealed(listed) or "files" not in listed:
        raise MissingInput(f"{relative(folder / FILES)} is missing or edited: restore it, or audit again")
    if listed["run_sha256"] != run[SEAL]:
        raise MissingInput(f"{relative(folder)} is of another run of this pipeline: audit again")
    found = hash_files(folder)
    for name, sha256 in listed["files"].items():
        if found.get(name) != sha256:
            raise MissingInput(
                f"{relative(folder / name)} is not as the audit has written it: restore it, or audit again"
            )
    for name in sorted(found.keys() - listed["files"] - {FILES}):
        raise MissingInput(f"{relative(folder / name)} is not of the audit: move it to another folder")


def _is_sealed(document: Any) -> bool:
    """Whether a document is as ``seal`` has made it."""
    if not isinstance(document, dict):
        return False
    content = {key: value for key, value in document.items() if key != SEAL}
    return document.get(SEAL) == hash_json(content)
