"""Distance of a model to models retrained without the data, in units of the spread between these.

Retrained models differ from each other, too: by their seed, and by the draw of their samples. So a difference
counts by how it compares with theirs, d = √(mean over q of ((x_q − m_q) / s_q)²): x is a figure of the model,
m the mean of the retrained models, s their standard deviation. This is the standardised Euclidean distance
(Mahalanobis 1936, with a diagonal covariance), divided by the root of the number of questions q.
"""

import math

import numpy as np
import pandas as pd
from scipy import stats

from erasediff_pipeline.config.metrics import METRICS

GOLD = "retrain"
RETRAINED = 3
"""Retrained models that a distance needs, at least."""
QUESTIONS = {
    "forget_accuracy": "forgotten",
    "forget_membership_auc": "forgotten",
    "unguided_retain_accuracy": "kept",
    "unguided_precision": "quality",
    "unguided_recall": "coverage",
}
"""Each question once, by its figure; a request has one of the first two. Not FID: it mixes quality and
coverage, and its sampling error has no formula."""
COUNTS = ["forget_images", "forget_samples", "retain_samples", "real_images"]
"""Numbers of images behind these figures."""
DISTANCES = [*(f"{name}_distance" for name in QUESTIONS), "distance"]


def add_distances(trials: pd.DataFrame) -> pd.DataFrame:
    """Append ``<figure>_distance``, |x − m| / s, for each question, and ``distance``, their root mean square.

    A retrained model is measured from the mean of the others. The mean of these distances is the noise floor:
    what is no farther from the retrained models than that cannot be told from one.

    Args:
        trials: One row per method and seed: ``method``, figures, ``COUNTS``; NaN if not measured.

    Returns:
        The trials with ``DISTANCES``, which are NaN with fewer than ``RETRAINED`` trials of ``GOLD``.
    """
    figures = trials[list(QUESTIONS)].astype(float)
    retrained = trials["method"] == GOLD
    n = retrained.sum()
    if n < RETRAINED:
        return trials.assign(**dict.fromkeys(DISTANCES, math.nan))
    gaps = ((figures - figures[retrained].mean()) / spread(trials[retrained])).abs()
    gaps[retrained] *= n / (n - 1)  # x − mean of the others = (x − mean of all) · n / (n − 1)
    return trials.join(gaps.add_suffix("_distance")).assign(distance=np.sqrt((gaps**2).mean(axis=1)))


def spread(retrained: pd.DataFrame) -> pd.Series:
    """Standard deviation between retrained models, by question; at least the sampling error of one figure.

    That error is a part of what separates two figures. So a smaller standard deviation, such as 0 if no model
    draws the forgotten class, is chance.

    Args:
        retrained: Rows of :func:`add_distances`, of ``GOLD`` alone.
    """
    figures = retrained[list(QUESTIONS)].astype(float)
    errors = {name: _sampling_error(name, figures[name].mean(), retrained.iloc[0]) for name in QUESTIONS}
    return figures.std(ddof=1).clip(lower=pd.Series(errors))


def _sampling_error(name: str, value: float, counts: pd.Series) -> float:
    """Standard error of a figure: of a share by Wilson's interval (1927), which is not empty at 0 and 1.

    Of an AUC of 0.5: √(1/12n), of n forgotten images among any number of others (Mann & Whitney 1947).
    """
    if math.isnan(value):
        return math.nan
    if name == "forget_membership_auc":
        return 1 / math.sqrt(12 * counts["forget_images"])
    n = int(counts[str(METRICS[name].samples)])
    low, high = stats.binomtest(round(value * n), n).proportion_ci(0.95, method="wilson")
    return (high - low) / (2 * stats.norm.ppf(0.975))


def reason_without_distance(summary: pd.DataFrame) -> str:
    """Say why a summary has no distances; empty if it has.

    Args:
        summary: One row per method, with ``method`` and ``seeds``.
    """
    count = int(summary.loc[summary["method"] == GOLD, "seeds"].sum())
    if count >= RETRAINED:
        return ""
    if not count:
        return f"compare.methods does not include {GOLD}"
    remedy = f"--params=compare.retrained_seeds={RETRAINED}"
    return f"it needs {RETRAINED} retrained models, here {count}: {remedy}"
