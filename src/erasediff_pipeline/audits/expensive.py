"""The expensive audits, of one model; each returns a table."""

import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from erasediff_pipeline.audits.inversion import invert
from erasediff_pipeline.audits.relearning import relearn
from erasediff_pipeline.config import AuditSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.pipelines import model_of
from erasediff_pipeline.diffusion.sampling import stream_samples
from erasediff_pipeline.evaluation.bench import Bench
from erasediff_pipeline.evaluation.classifiers.classifier import class_probabilities
from erasediff_pipeline.seeding import derive_seed
from erasediff_pipeline.workspace import Workspace

logger = logging.getLogger(__name__)


def relearn_model(
    bench: Bench, name: str, model: ModelWithHistory, settings: AuditSettings, seed: int, workspace: Workspace
) -> pd.DataFrame:
    """Train copies of a model on forgotten images and, separately, on retained images; see ``relearn``.

    Args:
        bench: Task, classifier, and settings of sampling.
        name: Name of the model, for the log.
        model: The model under audit; it does not change.
        settings: Budget, and images per measurement.
        seed: Seed of images, batches and noise.
        workspace: Unused: relearning writes no checkpoint.

    Returns:
        One row per measurement: ``taught`` (``forgotten`` or ``retained``), ``step``, ``forget_accuracy``, a
        share in [0, 1]. The noise of the samples depends on lesson and step, not on the model.
    """
    parts = []
    for taught, images in (("forgotten", bench.task.forget), ("retained", bench.task.retain)):
        logger.info("relearning: %s, taught with %s images", name, taught)
        curve = relearn(
            model_of(model.pipeline, bench.task.prompts),
            _shuffled(images, seed),
            partial(_forget_accuracy, bench, settings.relearning.samples, derive_seed(seed, "audit", taught)),
            settings.relearning,
            derive_seed(seed, "relearning"),
        )
        parts.append(curve.assign(taught=taught))
    return pd.concat(parts, ignore_index=True)


def invert_model(
    bench: Bench, name: str, model: ModelWithHistory, settings: AuditSettings, seed: int, workspace: Workspace
) -> pd.DataFrame:
    """Search for an embedding that brings each forgotten class back; see ``invert``.

    Args:
        bench: Task, classifier, and settings of sampling.
        name: Name of the model, for log and checkpoint.
        model: The model under audit; it does not change.
        settings: Budget, and images per measurement.
        seed: Seed of starts, batches and noise.
        workspace: Folder of the checkpoints.

    Returns:
        One row per class and start, see ``invert``, and ``label``.
    """
    parts = []
    retained = torch.tensor(bench.task.retained_numbers)
    for label in bench.task.request.classes:
        logger.info("inversion: %s, class %d", name, label)
        found = invert(
            model_of(model.pipeline, bench.task.prompts),
            bench.task.forget_of(label),
            retained,
            partial(_share_that_shows, bench, label, settings.samples, derive_seed(seed, "audit")),
            settings.inversion,
            seed,
            workspace.checkpoint("inversion", name, str(label)),
        )
        parts.append(found.assign(label=label))
    return pd.concat(parts, ignore_index=True)


class ExpensiveAudit(NamedTuple):
    """An audit, and the columns of its table."""

    ask: Callable[..., pd.DataFrame]
    columns: list[str]


EXPENSIVE_AUDITS = {
    "relearning": ExpensiveAudit(relearn_model, ["taught", "step", "forget_accuracy"]),
    "inversion": ExpensiveAudit(invert_model, ["label", "start", "loss", "forget_accuracy"]),
}


def _shuffled(images: LabelledImages, seed: int) -> LabelledImages:
    """Shuffle the images, so that the first few represent all."""
    rng = np.random.default_rng(derive_seed(seed, "lesson"))
    return images.select(rng.permutation(len(images)))


def _share_that_shows(
    bench: Bench, label: int, samples: int, noise_seed: int, model: DiffusionModel
) -> float:
    """Share of samples that the classifier assigns to the class, under the conditions that measure it."""
    asked = torch.tensor(np.resize(bench.task.judged_numbers(label), samples))
    drawn = torch.cat(list(stream_samples(model, asked, noise_seed, bench.sampling)))
    seen = class_probabilities(bench.classifier, drawn).argmax(dim=1)
    return float((seen == label).double().mean())


def _forget_accuracy(bench: Bench, samples: int, noise_seed: int, model: DiffusionModel, step: int) -> float:
    """Mean share over the forgotten classes, from noise of this step's own."""
    labels, noise_seed = bench.task.request.classes, derive_seed(noise_seed, "relearning", step)
    return float(np.mean([_share_that_shows(bench, label, samples, noise_seed, model) for label in labels]))
