"""Measure base and erased model, and draw more samples until the gates of a run are decided."""

import logging
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import DiffusionPipeline

from erasediff_pipeline.config import EvaluationSettings, GateSettings, SamplingSettings
from erasediff_pipeline.data.conditions import RETAIN
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.task import ForgetTask
from erasediff_pipeline.evaluation.classifiers.accuracy import measure_accuracy
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.evaluation.judge import build_judge
from erasediff_pipeline.evaluation.measure import (
    Drawn,
    collect_metrics,
    evaluate_model,
    sample_model,
    sample_unguided,
)
from erasediff_pipeline.evaluation.metrics import Metrics, round_metrics
from erasediff_pipeline.evidence.gates import UNDECIDED, check_gates
from erasediff_pipeline.evidence.paired import compare, intervals_of, judge_each

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
        ``metrics.json``, see :func:`measure_pair`; both models also have the accuracy of the classifier,
        see ``measure_accuracy``.
    """
    counts, known = evaluation, measure_accuracy(classifier, task.images, task.manifest)
    while True:
        document = measure_pair(method, base, erased, task, classifier, counts, gates.confidence)
        waiting = [gate for gate in check_gates(gates, document) if gate["status"] == UNDECIDED]
        more = double(counts, evaluation)
        if not waiting or more == counts:
            return document | {which: document[which] | known for which in ("base", "erased")}
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
        What ``collect_metrics`` returns, with the intervals of FID and KID of each model (``intervals_of``);
        and ``paired``: ``confidence``, and the figures of ``compare``, with and without guidance.
    """
    models = {"base": base, "erased": erased}
    judge = build_judge(classifier, task.real, evaluation)
    roles = task.plan(evaluation)["role"].to_numpy()
    pairs: dict[str, Any] = {"confidence": confidence}
    measured, each = {}, {}
    for which, model in models.items():
        seen, unguided = judge.look(model.samples), judge.look(model.unguided)
        found = evaluate_model(seen, unguided, model.membership, roles, judge)
        kept = seen.select(torch.from_numpy(roles == RETAIN))
        for prefix, figures, drawn in (("", found, kept), ("unguided_", found["unguided"], unguided)):
            each[prefix, which] = judge_each(drawn, figures, judge)
            figures |= round_metrics(intervals_of(each[prefix, which], confidence))
        measured[which] = found
    for prefix in ("", "unguided_"):
        compared = compare(each[prefix, "base"], each[prefix, "erased"], confidence)
        pairs |= {f"{prefix}{name}": values for name, values in compared.items()}
    document = collect_metrics(method, task, measured["base"], measured["erased"], evaluation)
    return document | {"paired": round_metrics(pairs)}
