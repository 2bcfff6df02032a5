"""Metrics of the samples of one model, for ``metrics.json``."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from erasediff_pipeline.config import EvaluationSettings
from erasediff_pipeline.data.conditions import ERASE, FORGET, RETAIN, SYNONYM
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.classifiers.classifier import class_probabilities, number_of_none
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.evaluation.features import FeatureExtractor, build_extractor
from erasediff_pipeline.evaluation.fidelity import fidelity, inception_score
from erasediff_pipeline.evaluation.forgetting import measure_drawn, measure_forgetting

Metrics = dict[str, Any]
"""Numbers, names, and None if not measured; ``forget_accuracy_by_class`` and ``forgotten`` hold more."""
FORGETTING = ["forget_accuracy", "forget_accuracy_by_class", "forget_probability", "forget_entropy"]
FORGOTTEN = ["none", "other_class", "other_classes", "fid", "precision"]
APART = {ERASE: "forget_accuracy_erased_prompts", SYNONYM: "forget_accuracy_synonyms"}
"""Additional roles of a request by prompts, and their metrics."""


def evaluate_samples(
    samples: LabelledImages,
    roles: np.ndarray,
    real: LabelledImages,
    classifier: AnyClassifier,
    settings: EvaluationSettings,
) -> Metrics:
    """Measure the samples of one model.

    Args:
        samples: Drawn images; a label is the class of the condition.
        roles: ``[N]``, the role of each condition, see ``data.conditions``.
        real: The retained training images, the reference of fid, precision and recall.
        classifier: Assigns each sample to a class.
        settings: Backend, and k of precision and recall.

    Returns:
        The keys of ``metrics.json`` except ``forget_membership_auc``, with backend and counts; those that
        begin with ``forget_`` are None if no class is forgotten. ``forgotten`` says what the forgotten
        conditions draw: ``measure_drawn``, and fid and precision against the retained images, None for no
        more samples than ``precision_neighbours``. A request by prompts also has
        ``forget_accuracy_erased_prompts``, of the prompts used for erasing, and
        ``forget_accuracy_synonyms``, of words that the request does not name; its ``forget_accuracy`` is of
        its words in unseen sentences, or in those used for erasing if a class has no others.

    Raises:
        InvalidParameter: The classifier has no features for the backend.
        MissingInput: The backend is not installed.
        ValueError: A set has no more images than ``precision_neighbours``.
    """
    images, labels = samples.tensors()
    probabilities = class_probabilities(classifier, images)
    kept = torch.from_numpy(roles == RETAIN)
    unseen = samples.labels[roles == FORGET]  # classes with prompts that were not used for erasing
    right = probabilities.argmax(dim=1) == labels
    judged = torch.from_numpy((roles == FORGET) | (roles == ERASE) & ~np.isin(samples.labels, unseen))
    extractor = build_extractor(settings.fid_backend, classifier)
    none, true = number_of_none(classifier), extractor.of(real)
    apart = {
        key: float(right[torch.from_numpy(roles == role)].double().mean())
        for role, key in APART.items()
        if role in roles
    }
    return {
        **_measure_forgotten(
            images[judged], probabilities[judged], labels[judged], none, true, extractor, settings
        ),
        **apart,
        **_measure_retained(images[kept], labels[kept], probabilities[kept], true, extractor, settings),
        "fid_backend": extractor.name,
        "fid_weights_sha256": extractor.weights_sha256,
        "forget_samples": int(judged.sum()),
        "retain_samples": int(kept.sum()),
        "real_images": len(real),
    }


def evaluate_retained(
    samples: LabelledImages, real: LabelledImages, classifier: AnyClassifier, settings: EvaluationSettings
) -> Metrics:
    """Measure samples of the retained classes.

    Args:
        samples: Drawn images; a label is the class of the condition.
        real: The retained training images, the reference of fid, precision and recall.
        classifier: Assigns each sample to a class.
        settings: Backend, and k of precision and recall.

    Returns:
        ``retain_accuracy``, ``fid``, ``precision``, ``recall``, ``inception_score``.

    Raises:
        InvalidParameter: The classifier has no features for the backend.
        MissingInput: The backend is not installed.
        ValueError: A set has no more images than ``precision_neighbours``.
    """
    images, labels = samples.tensors()
    probabilities = class_probabilities(classifier, images)
    extractor = build_extractor(settings.fid_backend, classifier)
    return _measure_retained(images, labels, probabilities, extractor.of(real), extractor, settings)


def _measure_forgotten(
    images: Tensor,
    probabilities: Tensor,
    labels: Tensor,
    none: int | None,
    true: Tensor,
    extractor: FeatureExtractor,
    settings: EvaluationSettings,
) -> Metrics:
    """What is left of the classes of forgotten conditions, and what these draw; all None without samples."""
    forgetting: Metrics = dict.fromkeys(FORGETTING)
    forgotten: Metrics = dict.fromkeys(FORGOTTEN)
    if len(images):
        forgetting |= measure_forgetting(probabilities, labels)
        forgotten |= measure_drawn(probabilities.argmax(dim=1), labels, none)
    if len(images) > settings.precision_neighbours:
        found = fidelity(extractor(images), true, settings.precision_neighbours)
        forgotten |= {key: found[key] for key in ("fid", "precision")}
    return {**forgetting, "forgotten": forgotten}


def _measure_retained(
    images: Tensor,
    labels: Tensor,
    probabilities: Tensor,
    true: Tensor,
    extractor: FeatureExtractor,
    settings: EvaluationSettings,
) -> Metrics:
    """Accuracy, Inception Score, and fidelity to real features, of samples under retained conditions."""
    return {
        "retain_accuracy": float((probabilities.argmax(dim=1) == labels).double().mean()),
        **fidelity(extractor(images), true, settings.precision_neighbours),
        "inception_score": inception_score(probabilities),
    }


def round_metrics(metrics: Metrics) -> Metrics:
    """Round to six decimals, so that equal results are equal bytes; no sample count here supports more."""
    return {
        k: round_metrics(v) if isinstance(v, dict) else round(v, 6) if isinstance(v, float) else v
        for k, v in metrics.items()
    }
