"""What base and erased model draw from the same noise, compared in pairs."""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.classifiers.classifier import class_probabilities
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.evaluation.features import FeatureExtractor
from erasediff_pipeline.evaluation.fidelity import fid_influence
from erasediff_pipeline.evidence.intervals import in_logarithm, paired_difference, stratified_error


class Judged(NamedTuple):
    """The retained samples of one model."""

    labels: np.ndarray
    """``[N]``, the class of each sample's condition."""

    right: np.ndarray
    """``[N]`` bool, whether the classifier assigns the sample to that class."""

    fid: float
    influence: np.ndarray
    """``[N]`` float64, of each sample on FID, see ``fid_influence``."""


def judge(
    samples: LabelledImages, fid: float, real: Tensor, classifier: AnyClassifier, extractor: FeatureExtractor
) -> Judged:
    """Judge each retained sample of one model.

    Args:
        samples: Drawn images; a label is the class of the condition.
        fid: Their FID.
        real: Features ``[M, D]`` float64 of the retained training images.
        classifier: Assigns each sample to a class.
        extractor: Features for FID.
    """
    images, labels = samples.tensors()
    right = class_probabilities(classifier, images).argmax(dim=1) == labels
    return Judged(samples.labels, right.numpy(), fid, fid_influence(extractor(images), real).numpy())


def interval_of_fid(judged: Judged, confidence: float) -> dict[str, float]:
    """``fid_low`` and ``fid_high``; empty if FID is 0, which has no logarithm."""
    if judged.fid <= 0:
        return {}
    error = stratified_error(judged.influence, judged.labels) / judged.fid
    _, low, high = in_logarithm(judged.fid, error, confidence)
    return {"fid_low": low, "fid_high": high}


def compare(base: Judged, erased: Judged, confidence: float) -> dict[str, dict[str, Any]]:
    """Compare the retained samples of two models, sample i from the same noise in both.

    Returns:
        ``retain_accuracy``: ``difference`` (erased − base), and the samples that only one model draws right,
        ``only_base`` and ``only_erased``. ``fid``: ``ratio`` (erased ÷ base); left out if one is 0. Both with
        ``low`` and ``high``.
    """
    gained, lost = int((erased.right & ~base.right).sum()), int((base.right & ~erased.right).sum())
    value, low, high = paired_difference(gained, lost, len(base.right), confidence)
    counts = {"only_base": lost, "only_erased": gained}
    pairs = {"retain_accuracy": {"difference": value, "low": low, "high": high, **counts}}
    if min(base.fid, erased.fid) > 0:
        change = erased.influence / erased.fid - base.influence / base.fid
        error = stratified_error(change, base.labels)
        value, low, high = in_logarithm(erased.fid / base.fid, error, confidence)
        pairs["fid"] = {"ratio": value, "low": low, "high": high}
    return pairs
