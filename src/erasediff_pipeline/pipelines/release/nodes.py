"""Nodes of ``release``: what still holds the forgotten data goes, or stays by name."""

import logging
from typing import Any

from diffusers import DiffusionPipeline

from erasediff_pipeline import paths
from erasediff_pipeline.catalog import history_of
from erasediff_pipeline.config import ReleaseSettings
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.evidence.leftovers import find_leftovers, remove_leftovers

logger = logging.getLogger(__name__)


def release_model(erased_model: DiffusionPipeline, settings: ReleaseSettings) -> dict[str, Any]:
    """Remove the kinds of leftovers that ``settings`` names, and record what went and what stays.

    Returns:
        ``release.json``: model, its requests, and a row each of ``removed`` and ``kept``.
    """
    data = paths.project_root() / "data"
    found = find_leftovers(data, paths.environment, settings.model)
    removed = [leftover for leftover in found if leftover.kind in settings.remove]
    for leftover in removed:
        logger.info("removing %s (%d files)", leftover.path, leftover.files)
    remove_leftovers(data, removed)
    kept = [leftover for leftover in found if leftover.kind in settings.keep]
    return {
        "model": settings.model,
        "erased_model_sha256": hash_pipeline(erased_model),
        "requests": history_of(erased_model),
        "removed": [leftover._asdict() for leftover in removed],
        "kept": [leftover._asdict() for leftover in kept],
    }
