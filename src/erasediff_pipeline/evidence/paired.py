"""What base and erased model draw from the same noise, compared in pairs."""

from typing import Any, NamedTuple

import numpy as np

from erasediff_pipeline.evaluation.fidelity import fid_influence
from erasediff_pipeline.evaluation.judge import Judge, Seen
from erasediff_pipeline.evaluation.kernel import kid
from erasediff_pipeline.evaluation.metrics import Metrics
from erasediff_pipeline.evidence.intervals import (
    around,
    in_logarithm,
    paired_difference,
    stratified_error,
)


class Judged(NamedTuple):
    """The retained samples of one model, sample by sample."""

    labels: np.ndarray
    """``[N]``, the class of each sample's condition."""

    right: np.ndarray
    """``[N]`` bool, whether the classifier assigns the sample to that class."""

    fid: float
    fid_influence: np.ndarray
    """``[N]`` float64, of each sample on FID, see ``fidelity.fid_influence``."""

    kid: float
    kid_influence: np.ndarray
    """``[N]`` float64, of each sample on KID, see ``kernel.kid``."""


def judge_each(seen: Seen, figures: Metrics, judge: Judge) -> Judged:
    """Judge each retained sample of one model.

    Args:
        seen: The samples.
        figures: Of all of them, ``evaluate_retained``.
        judge: What they are measured with.
    """
    fid_moved = fid_influence(seen.features, judge.real)
    value, kid_moved = kid(seen.features, judge.real, judge.similarity)
    right = seen.right.numpy()
    return Judged(seen.labels.numpy(), right, figures["fid"], fid_moved.numpy(), value, kid_moved.numpy())


def intervals_of(judged: Judged, confidence: float) -> dict[str, float]:
    """``fid_low``, ``fid_high``, ``kid_low``, ``kid_high``; an FID of 0 has no logarithm, and no interval."""
    error = stratified_error(judged.kid_influence, judged.labels)
    estimates = {"kid": around(judged.kid, error, confidence)}
    if judged.fid > 0:
        error = stratified_error(judged.fid_influence, judged.labels) / judged.fid
        estimates["fid"] = in_logarithm(judged.fid, error, confidence)
    return {f"{name}_{end}": getattr(of, end) for name, of in estimates.items() for end in ("low", "high")}


def compare(base: Judged, erased: Judged, confidence: float) -> dict[str, dict[str, Any]]:
    """Compare the retained samples of two models, sample i from the same noise in both.

    Returns:
        ``retain_accuracy``: ``difference`` (erased − base), and the samples that only one model draws right,
        ``only_base`` and ``only_erased``. ``kid``: ``difference``. ``fid``: ``ratio`` (erased ÷ base); left
        out if one is 0. All with ``low`` and ``high``.
    """
    gained, lost = int((erased.right & ~base.right).sum()), int((base.right & ~erased.right).sum())
    value, low, high = paired_difference(gained, lost, len(base.right), confidence)
    counts = {"only_base": lost, "only_erased": gained}
    pairs = {"retain_accuracy": {"difference": value, "low": low, "high": high, **counts}}
    error = stratified_error(erased.kid_influence - base.kid_influence, base.labels)
    value, low, high = around(erased.kid - base.kid, error, confidence)
    pairs["kid"] = {"difference": value, "low": low, "high": high}
    if min(base.fid, erased.fid) > 0:
        change = erased.fid_influence / erased.fid - base.fid_influence / base.fid
        value, low, high = in_logarithm(
            erased.fid / base.fid, stratified_error(change, base.labels), confidence
        )
        pairs["fid"] = {"ratio": value, "low": low, "high": high}
    return pairs
