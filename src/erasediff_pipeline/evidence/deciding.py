"""Measure base and erased model, and draw more samples until the gates of a run are decided."""

import logging
from dataclasses import dataclass, replace
from typing import Any

from diffusers import DiffusionPipeline

from erasediff_pipeline.config import EvaluationSettings, GateSettings, SamplingSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.task import ForgetTask
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.evaluation.features import build_extractor
from erasediff_pipeline.evaluation.measure import (
    Drawn,
    collect_metrics,
    evaluate_model,
    retained_rows,
    sample_model,
    sample_unguided,
)
from erasediff_pipeline.evaluation.metrics import Metrics, round_metrics
from erasediff_pipeline.evidence import paired
from erasediff_pipeline.evidence.gates import UNDECIDED, check_gates

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sampled:
    """A model, and what was drawn from it."""

    title: str
    """Title of the progress bars."""

    pipeline: DiffusionPipeline
    samples: LabelledImages
    """From ``sample_model``."""

    unguided: LabelledImages
    """From ``sample_unguided``."""

    membership: Metrics
    """From ``measure_membership``."""


def measure_until_decided(
    method: str,
    base: Sampled,
    erased: Sampled,
    task: ForgetTask,
    classifier: AnyClassifier,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
    gates: GateSettings,
    seed: int,
) -> dict[str, Any]:
    """Measure two models, and again with twice the samples while an interval contains the limit of its gate.

    Every look at 95 % intervals is one more chance to err, see docs/reference/gates.md.

    Args:
        method: The method that made the erased model.
        base: The base model, with the samples of ``evaluation``.
        erased: The erased model, drawn from the same noise.
        task: The request.
        classifier: Assigns each sample to a class.
        sampling: Sampler, steps, guidance and batch size of further samples.
        evaluation: Sample counts of the first draw, and their maximum.
        gates: Limits, and the level of all intervals.
        seed: Top-level seed.

    Returns:
        ``metrics.json``, see :func:`measure_pair`.
    """
    counts = evaluation
    while True:
        document = measure_pair(method, base, erased, task, classifier, counts, gates.confidence)
        waiting = [gate for gate in check_gates(gates, document) if gate["status"] == UNDECIDED]
        more = double(counts, evaluation)
        if not waiting or more == counts:
            return document
        found = "; ".join(f"{g['figure']} {g['limit']}: {g['low']:.4g} to {g['high']:.4g}" for g in waiting)
        logger.info("undecided: %s", found)
        wanted = more.forget_samples, more.retain_samples
        logger.info("drawing more: up to %d images of a forgotten class, %d of a retained one", *wanted)
        base, erased = (draw_more(model, task, sampling, counts, more, seed) for model in (base, erased))
        counts = more


def double(counts: EvaluationSettings, first: EvaluationSettings) -> EvaluationSettings:
    """Double the sample counts, up to ``max_samples`` of the first draw or four times that draw."""
    doubled = {}
    for key in ("forget_samples", "retain_samples"):
        now, at_first = getattr(counts, key), getattr(first, key)
        most = 4 * at_first if first.max_samples is None else first.max_samples
        doubled[key] = max(now, min(2 * now, most))
    return counts.model_copy(update=doubled)


def draw_more(
    model: Sampled,
    task: ForgetTask,
    sampling: SamplingSettings,
    drawn: EvaluationSettings,
    more: EvaluationSettings,
    seed: int,
) -> Sampled:
    """Add samples up to the counts of ``more``; those of ``drawn`` stay as they are."""
    given, title = (task, sampling, more, seed), f"{model.title}, more"
    samples = sample_model(model.pipeline, *given, title, Drawn(model.samples, drawn))
    title = f"{model.title}, no guidance, more"
    earlier = Drawn(model.unguided, drawn)
    unguided = sample_unguided(model.pipeline, samples, *given, title, earlier)
    return replace(model, samples=samples, unguided=unguided)


def measure_pair(
    method: str,
    base: Sampled,
    erased: Sampled,
    task: ForgetTask,
    classifier: AnyClassifier,
    evaluation: EvaluationSettings,
    confidence: float,
) -> dict[str, Any]:
    """Measure two models on samples from the same noise.

    Returns:
        What ``collect_metrics`` returns, with ``fid_low`` and ``fid_high`` of each model; and ``paired``:
        ``confidence``, and the figures of ``paired.compare``, with and without guidance. An FID of 0 has no
        interval.
    """
    models = {"base": base, "erased": erased}
    measured = {
        which: evaluate_model(model.samples, model.unguided, model.membership, task, classifier, evaluation)
        for which, model in models.items()
    }
    extractor = build_extractor(evaluation.fid_backend, classifier)
    real, kept = extractor.of(task.real), retained_rows(task, evaluation)
    pairs: dict[str, Any] = {"confidence": confidence}
    for prefix in ("", "unguided_"):
        judged, figures = {}, {}
        for which, model in models.items():
            drawn = model.unguided if prefix else model.samples.select(kept)
            figures[which] = measured[which]["unguided"] if prefix else measured[which]
            judged[which] = paired.judge(drawn, figures[which]["fid"], real, classifier, extractor)
            figures[which] |= round_metrics(paired.interval_of_fid(judged[which], confidence))
        found = paired.compare(judged["base"], judged["erased"], confidence)
        pairs |= {f"{prefix}{name}": values for name, values in found.items()}
    document = collect_metrics(method, task, measured["base"], measured["erased"], evaluation)
    return document | {"paired": round_metrics(pairs)}
