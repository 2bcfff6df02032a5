"""Nodes of ``release``: remove or list files that still hold the forgotten data."""

import logging
from typing import Any

from erasediff_pipeline.config import ReleaseSettings
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evidence.leftovers import Place, find_leftovers, remove_leftovers
from erasediff_pipeline.evidence.recorded import check_run, hash_model
from erasediff_pipeline.workspace import Workspace

logger = logging.getLogger(__name__)


def release_model(
    erased_model: ModelWithHistory,
    run: dict[str, Any],
    settings: ReleaseSettings,
    workspace: Workspace,
    places: list[Place],
) -> dict[str, Any]:
    """Remove the kinds of leftovers that ``settings`` names; record what was removed and what was kept.

    Returns:
        ``release.json``: model, its requests, and a row each of ``removed`` and ``kept``.

    Raises:
        MissingInput: The model has no history, or is not the one that its run recorded; one that was pulled
            has no ``run.json``.
    """
    if not erased_model.history:
        raise MissingInput(f"release.model: {settings.model!r} has forgotten nothing: name an erased model")
    if run:
        check_run(run, hash_model(erased_model), f"release.model: {settings.model!r}")
    found = find_leftovers(workspace.data, workspace.environment, settings.model, places)
    removed = [leftover for leftover in found if leftover.kind in settings.remove]
    for leftover in removed:
        logger.info("removing %s (%d files)", leftover.path, leftover.files)
    remove_leftovers(workspace.data, removed)
    kept = [leftover for leftover in found if leftover.kind in settings.keep]
    return {
        "model": settings.model,
        "erased_model_sha256": hash_pipeline(erased_model.pipeline),
        "requests": [entry.to_json() for entry in erased_model.history],
        "removed": [leftover._asdict() for leftover in removed],
        "kept": [leftover._asdict() for leftover in kept],
    }
