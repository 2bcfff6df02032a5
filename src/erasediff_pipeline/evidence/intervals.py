"""Figures with intervals, and intervals of their differences and ratios."""

from math import exp, hypot, isnan, sqrt
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, norm


class Estimate(NamedTuple):
    """A figure with the ends of its interval; without an interval, all three are equal."""

    value: float
    low: float
    high: float


def exactly(value: float) -> Estimate:
    """Wrap a figure without an interval."""
    return Estimate(value, value, value)


def share_of(share: float, samples: int, confidence: float) -> Estimate:
    """Compute Wilson's interval of a share (Wilson, 1927), also valid at 0 and 1; NaN stays NaN.

    Args:
        share: In [0, 1].
        samples: Number of samples.
        confidence: Level of the interval, in (0, 1).

    Raises:
        ValueError: ``share`` is not within 0…1.
    """
    if isnan(share):
        return exactly(share)
    low, high = binomtest(round(share * samples), samples).proportion_ci(confidence, method="wilson")
    return Estimate(share, min(float(low), share), max(float(high), share))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Compute first − second of independent figures (Zou & Donner 2008; shares: Newcombe's method 10, 1998).

    For figures of the same samples see :func:`paired_difference`.
    """
    value = first.value - second.value
    low = value - hypot(first.value - first.low, second.high - second.value)
    high = value + hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, low, high)


def distance(first: Estimate, second: Estimate) -> Estimate:
    """|first − second|, with the interval of :func:`difference`, folded at 0."""
    _, low, high = difference(first, second)
    value = abs(first.value - second.value)
    return Estimate(value, max(0.0, low, -high), max(high, -low))


def ratio(first: Estimate, second: Estimate) -> Estimate:
    """Compute first ÷ second of two positive figures; the interval is that of all ratios of their ends."""
    return Estimate(first.value / second.value, first.low / second.high, first.high / second.low)


def paired_difference(gained: int, lost: int, samples: int, confidence: float) -> Estimate:
    """Compute the difference of two shares of the same samples: adjusted Wald (Bonett & Price 2012).

    Args:
        gained: Samples that count for the first share only.
        lost: Samples that count for the second share only.
        samples: All samples.
        confidence: Level of the interval, in (0, 1).

    Returns:
        First − second, in [−1, 1].
    """
    value = (gained - lost) / samples
    more, less = (gained + 1) / (samples + 2), (lost + 1) / (samples + 2)
    half = _quantile(confidence) * sqrt((more + less - (more - less) ** 2) / (samples + 2))
    low, high = more - less - half, more - less + half
    return Estimate(value, max(-1.0, min(low, value)), min(1.0, max(high, value)))


def around(value: float, error: float, confidence: float) -> Estimate:
    """Compute the interval of a figure that is about normal, from its standard error.

    Args:
        value: The figure.
        error: Its standard error.
        confidence: Level of the interval, in (0, 1).
    """
    half = _quantile(confidence) * error
    return Estimate(value, value - half, value + half)


def in_logarithm(value: float, error: float, confidence: float) -> Estimate:
    """Compute the interval of a positive figure whose logarithm is about normal.

    Args:
        value: Above 0.
        error: Standard error of its logarithm, which is that of the figure ÷ the figure.
        confidence: Level of the interval, in (0, 1).
    """
    factor = exp(_quantile(confidence) * error)
    return Estimate(value, value / factor, value * factor)


def stratified_error(values: np.ndarray, strata: np.ndarray) -> float:
    """Compute the standard error of a mean over strata of fixed sizes (Cochran 1977, chapter 5).

    Classes differ, but each draw has as many images of each: only the spread within a class counts.

    Args:
        values: ``[N]`` float64.
        strata: ``[N]``, for each value the stratum that it is of.
    """
    found = [values[strata == stratum] for stratum in np.unique(strata)]
    return sqrt(sum(len(of) * of.var(ddof=1) for of in found if len(of) > 1)) / len(values)


def _quantile(confidence: float) -> float:
    """The normal quantile of a two-sided interval."""
    return float(norm.ppf((1 + confidence) / 2))
