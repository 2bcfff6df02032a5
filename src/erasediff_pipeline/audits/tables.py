"""The cheap audits, of all models at once; each returns a table."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from erasediff_pipeline.audits.damage import measure_damage
from erasediff_pipeline.audits.leakage import leakage
from erasediff_pipeline.config import AuditSettings
from erasediff_pipeline.data.conditions import RETAIN, plan_samples
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.embedded import without_condition
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import model_of
from erasediff_pipeline.diffusion.sampling import draw_samples
from erasediff_pipeline.evaluation.bench import Bench
from erasediff_pipeline.evaluation.classifiers.classifier import class_probabilities
from erasediff_pipeline.evaluation.features import build_extractor
from erasediff_pipeline.evaluation.membership import (
    membership_auc,
    membership_interval,
    proximal_errors,
    true_positive_rate,
)
from erasediff_pipeline.seeding import derive_seed

Models = dict[str, ModelWithHistory]


def measure_membership(bench: Bench, models: Models, settings: AuditSettings, seed: int) -> pd.DataFrame:
    """Measure whether the model tells forgotten images from unseen ones of their classes.

    Membership inference by PIA, see ``proximal_errors``, ``membership_auc`` and ``true_positive_rate``.

    Args:
        bench: Task and settings of evaluation.
        models: Models by name.
        settings: Resamples and confidence level of the intervals.
        seed: Seed of the bootstrap.

    Returns:
        One row per model: ``model``, ``auc`` with its interval ``low`` and ``high``, and
        ``true_positive_rate`` at 1 % false positives, all in [0, 1]; and ``beyond_retrained``, AUC − the
        retrained model's, with ``beyond_low`` and ``beyond_high``, in [−1, 1]: NaN without that model.
    """
    errors: dict[str, tuple[Tensor, Tensor]] = {}
    for name, saved in models.items():
        model, batch_size = model_of(saved.pipeline, bench.task.prompts), bench.sampling.batch_size
        members, unseen = (
            proximal_errors(model, images, bench.evaluation, batch_size)
            for images in (bench.task.forget, bench.task.unseen())
        )
        errors[name] = members, unseen
    gold, drawing = errors.get("retrained"), (settings.bootstrap, settings.confidence, seed)
    rows = []
    for name, (known, new) in errors.items():
        auc, beyond = membership_auc(known, new), (np.nan, np.nan, np.nan)
        if gold is not None:
            beyond = (auc - membership_auc(*gold), *membership_interval(known, new, *drawing, gold))
        interval = membership_interval(known, new, *drawing)
        rows.append((name, auc, *interval, true_positive_rate(known, new), *beyond))
    columns = ["model", "auc", "low", "high", "true_positive_rate"]
    return pd.DataFrame(rows, columns=[*columns, "beyond_retrained", "beyond_low", "beyond_high"])


def sample_retained(
    bench: Bench, models: Models, settings: AuditSettings, seed: int
) -> dict[str, LabelledImages]:
    """Sample each model under every retained condition and under the null condition.

    Args:
        bench: Task, and settings of sampling and evaluation.
        models: Models by name.
        settings: Images per condition.
        seed: Seed of the noise, the same for every model.

    Returns:
        Images ``[N, C, H, W]`` uint8 of each model, by its name; a label is the class, −1 for the null
        condition.
    """
    conditions = bench.task.conditions[bench.task.conditions["role"] == RETAIN]
    evaluation = bench.evaluation.model_copy(update={"retain_samples": settings.samples})
    plan = plan_samples(conditions, evaluation)
    drawn = {}
    for name, saved in models.items():
        model = model_of(saved.pipeline, bench.task.prompts)
        numbers, noise_seed = torch.tensor(plan["number"].to_numpy()), derive_seed(seed, "audit")
        kept = draw_samples(model, numbers, noise_seed, bench.sampling, f"retained, {name}")
        anything = draw_samples(
            without_condition(model), numbers[: settings.samples], noise_seed, bench.sampling, f"null, {name}"
        )
        labels = np.concatenate([plan["label"].to_numpy(), np.full(len(anything), -1)])
        drawn[name] = LabelledImages(np.concatenate([kept, anything]), labels)
    return drawn


def measure_leakage(bench: Bench, drawn: dict[str, LabelledImages]) -> pd.DataFrame:
    """Measure how often samples under other conditions show a forgotten class; see ``leakage``.

    Args:
        bench: Task and classifier.
        drawn: From :func:`sample_retained`.

    Returns:
        ``model``, ``asked_for`` (a label, or ``unconditional``), ``share`` in [0, 1]; no row for a request by
        ids, which keeps its classes.
    """
    rows = []
    for name, samples in drawn.items() if not bench.task.request.keeps_classes else ():
        images, labels = samples.tensors()
        probabilities = class_probabilities(bench.classifier, images)
        shares = leakage(probabilities, labels, list(bench.task.request.classes))
        rows += [(name, asked_for, share) for asked_for, share in shares.items()]
    return pd.DataFrame(rows, columns=["model", "asked_for", "share"])


def assess_damage(bench: Bench, drawn: dict[str, LabelledImages]) -> pd.DataFrame:
    """Measure the damage to every retained class; see ``measure_damage``.

    Args:
        bench: Task, classifier, and settings of evaluation.
        drawn: From :func:`sample_retained`; samples of the null condition are ignored.

    Returns:
        One row per model and class: ``model``, and the columns of ``measure_damage``.
    """
    extractor = build_extractor(bench.evaluation.fid_backend, bench.classifier)
    neighbours = bench.evaluation.precision_neighbours
    real = bench.task.real
    return pd.concat(
        [
            measure_damage(
                samples.select(samples.labels >= 0), real, bench.classifier, extractor, neighbours
            ).assign(model=name)
            for name, samples in drawn.items()
        ],
        ignore_index=True,
    )
