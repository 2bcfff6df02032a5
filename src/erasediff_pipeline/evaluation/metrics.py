"""Metrics of the samples of one model, for ``metrics.json``."""

from typing import Any

import numpy as np
import torch

from erasediff_pipeline.data.conditions import ERASE, FORGET, RETAIN, SYNONYM
from erasediff_pipeline.evaluation.fidelity import fidelity, inception_score
from erasediff_pipeline.evaluation.forgetting import measure_drawn, measure_forgetting
from erasediff_pipeline.evaluation.judge import Judge, Seen
from erasediff_pipeline.evaluation.kernel import kid

Metrics = dict[str, Any]
"""Numbers, names, and None if not measured; ``forget_accuracy_by_class`` and ``forgotten`` hold more."""
FORGETTING = ["forget_accuracy", "forget_accuracy_by_class", "forget_probability", "forget_entropy"]
FORGOTTEN = ["none", "other_class", "other_classes", "fid", "precision"]
APART = {ERASE: "forget_accuracy_erased_prompts", SYNONYM: "forget_accuracy_synonyms"}
"""Additional roles of a request by prompts, and their metrics."""


def evaluate_samples(seen: Seen, roles: np.ndarray, judge: Judge) -> Metrics:
    """Measure the samples of one model.

    Args:
        seen: N samples.
        roles: ``[N]``, the role of each condition, see ``data.conditions``.
        judge: What they are measured with.

    Returns:
        The keys of ``metrics.json`` except ``forget_membership_auc``, with backend and counts; those that
        begin with ``forget_`` are None if no class is forgotten. ``forgotten`` says what the forgotten
        conditions draw: ``measure_drawn``, and fid and precision against the retained images, None for no
        more samples than ``precision_neighbours``. A request by prompts also has
        ``forget_accuracy_erased_prompts``, of the prompts used for erasing, and
        ``forget_accuracy_synonyms``, of words that the request does not name; its ``forget_accuracy`` is of
        its words in unseen sentences, or in those used for erasing if a class has no others.

    Raises:
        ValueError: A set has no more images than ``precision_neighbours``.
    """
    labels, right = seen.labels.numpy(), seen.right
    unseen = labels[roles == FORGET]  # classes with prompts that were not used for erasing
    judged = torch.from_numpy((roles == FORGET) | (roles == ERASE) & ~np.isin(labels, unseen))
    kept = torch.from_numpy(roles == RETAIN)
    apart = {
        key: float(right[torch.from_numpy(roles == role)].double().mean())
        for role, key in APART.items()
        if role in roles
    }
    return {
        **_measure_forgotten(seen.select(judged), judge),
        **apart,
        **evaluate_retained(seen.select(kept), judge),
        "fid_backend": judge.extractor.name,
        "fid_weights_sha256": judge.extractor.weights_sha256,
        "forget_samples": int(judged.sum()),
        "retain_samples": int(kept.sum()),
        "real_images": len(judge.real),
    }


def _measure_forgotten(seen: Seen, judge: Judge) -> Metrics:
    """What is left of the classes of forgotten conditions, and what these draw; all None without samples."""
    forgetting: Metrics = dict.fromkeys(FORGETTING)
    forgotten: Metrics = dict.fromkeys(FORGOTTEN)
    if len(seen.labels):
        forgetting |= measure_forgetting(seen.probabilities, seen.labels)
        forgotten |= measure_drawn(seen.probabilities.argmax(dim=1), seen.labels, judge.none)
    if len(seen.labels) > judge.neighbours:
        found = fidelity(seen.features, judge.real, judge.neighbours)
        forgotten |= {key: found[key] for key in ("fid", "precision")}
    return {**forgetting, "forgotten": forgotten}


def evaluate_retained(seen: Seen, judge: Judge) -> Metrics:
    """Measure samples of the retained classes.

    Returns:
        ``retain_accuracy``, ``fid``, ``precision``, ``recall``, ``kid``, ``inception_score``.

    Raises:
        ValueError: A set has no more images than ``precision_neighbours``.
    """
    return {
        "retain_accuracy": float(seen.right.double().mean()),
        **fidelity(seen.features, judge.real, judge.neighbours),
        "kid": kid(seen.features, judge.real, judge.similarity)[0],
        "inception_score": inception_score(seen.probabilities),
    }


def round_metrics(metrics: Metrics) -> Metrics:
    """Round to six decimals, so that equal results are equal bytes; no sample count here supports more."""
    return {
        k: round_metrics(v) if isinstance(v, dict) else round(v, 6) if isinstance(v, float) else v
        for k, v in metrics.items()
    }
