"""Figures with intervals, and intervals of their differences and ratios."""

from math import hypot, isnan
from typing import NamedTuple

from scipy.stats import binomtest


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

    Figures before and after from the same noise are not independent: the interval is then too wide.
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
