"""The keys of ``metrics.json``, for one model."""

from typing import Any

from torch import Tensor

from erasediff_pipeline.config import EvaluationSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.classifier import Classifier, class_probabilities
from erasediff_pipeline.evaluation.features import build_extractor
from erasediff_pipeline.evaluation.fidelity import fidelity
from erasediff_pipeline.evaluation.forgetting import measure_forgetting

Metrics = dict[str, Any]
"""Numbers, names, and None where not measured; ``forget_accuracy_by_class`` is a dictionary of numbers."""
FORGETTING = ["forget_accuracy", "forget_accuracy_by_class", "forget_probability", "forget_entropy"]


def plan_labels(classes: list[int], forgotten: list[int], settings: EvaluationSettings) -> list[int]:
    """The condition of each sample to draw, class by class; ``forgotten`` is empty for a request by ids."""
    return [
        label
        for label in classes
        for _ in range(settings.forget_samples if label in forgotten else settings.retain_samples)
    ]


def evaluate_samples(
    samples: LabelledImages,
    forgotten: list[int],
    real: LabelledImages,
    classifier: Classifier,
    settings: EvaluationSettings,
) -> Metrics:
    """Judge the samples of one model.

    Args:
        samples: Drawn images; a label is the condition that the image was drawn under.
        forgotten: Forgotten classes; empty for a request by ids, whose classes are kept.
        real: The retained training images, which fid, precision and recall compare with.
        classifier: The judge.
        settings: Backend, and k of precision and recall.

    Returns:
        The contract's keys but ``forget_membership_auc``, with backend and counts; those of
        ``forgetting`` are None where no class is forgotten.
    """
    images, labels = samples.tensors()
    is_forgotten = Tensor([label in forgotten for label in labels.tolist()]).bool()
    probabilities = class_probabilities(classifier, images)
    kept = ~is_forgotten
    right = probabilities[kept].argmax(dim=1) == labels[kept]

    forgetting: Metrics = dict.fromkeys(FORGETTING)
    if forgotten:
        forgetting |= measure_forgetting(probabilities[is_forgotten], labels[is_forgotten])
    extractor = build_extractor(settings.fid_backend, classifier)
    real_images, _ = real.tensors()
    return {
        **forgetting,
        "retain_accuracy": float(right.double().mean()),
        **fidelity(extractor(images[kept]), extractor(real_images), settings.precision_neighbours),
        "fid_backend": extractor.name,
        "fid_weights_sha256": extractor.weights_sha256,
        "forget_samples": int(is_forgotten.sum()),
        "retain_samples": int(kept.sum()),
        "real_images": len(real),
    }


def round_metrics(metrics: Metrics) -> Metrics:
    """Six digits behind the point: more than any sample count here supports, and the same bytes again."""
    return {
        k: round_metrics(v) if isinstance(v, dict) else round(v, 6) if isinstance(v, float) else v
        for k, v in metrics.items()
    }
