import numpy as np
import pytest

from erasediff_pipeline.evidence.intervals import (
    Estimate,
    difference,
    distance,
    exactly,
    in_logarithm,
    paired_difference,
    ratio,
    share_of,
    stratified_error,
)


def test_wilsons_interval_of_a_published_share():
    """81 of 263: Newcombe, Statistics in Medicine 17 (1998) 857–872, table I."""
    found = share_of(81 / 263, 263, 0.95)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((9, 10), (3, 10), 0.1705, 0.8090),
    ],
)
def test_newcombes_interval_of_published_differences(first, second, low, high):
    """Method 10 of Newcombe, Statistics in Medicine 17 (1998) 873–890, table II."""
    found = difference(*(share_of(k / n, n, 0.95) for k, n in (first, second)))
    assert found.value == pytest.approx(first[0] / first[1] - second[0] / second[1])
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_nothing_of_many_is_not_surely_nothing():
    found = share_of(0.0, 200, 0.95)
    assert (found.low, found.high) == (0, pytest.approx(0.018845, abs=1e-6))
    assert share_of(0.0, 20, 0.95).high > 5 * found.high


def test_a_share_lies_within_its_interval():
    for hits in range(11):
        found = share_of(hits / 10, 10, 0.95)
        assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("compare", "first", "second", "expected"),
    [
        (difference, Estimate(0.5, 0.4, 0.7), exactly(0.2), (0.3, 0.2, 0.5)),
        (ratio, Estimate(12, 10, 15), exactly(10), (1.2, 1.0, 1.5)),
        (ratio, Estimate(4, 2, 6), Estimate(2, 1, 4), (2, 0.5, 6)),
        # A distance has no sign.
        (distance, Estimate(0.8, 0.7, 0.9), exactly(0.5), (0.3, 0.2, 0.4)),
        (distance, exactly(0.5), Estimate(0.8, 0.7, 0.9), (0.3, 0.2, 0.4)),
        (distance, Estimate(0.5, 0.3, 0.6), exactly(0.5), (0.0, 0.0, 0.2)),
    ],
)
def test_what_is_compared_spans_what_both_ends_allow(compare, first, second, expected):
    assert compare(first, second) == pytest.approx(expected)


def test_bonett_and_prices_interval_of_a_published_difference():
    """1, 1, 7 and 12 of 21: Fagerland, Lydersen & Laake, Statistics in Medicine 33 (2014) 2850–2875."""
    found = paired_difference(1, 7, 21, 0.95)
    assert found == pytest.approx((-6 / 21, -0.508, -0.013), abs=5e-4)
    assert paired_difference(0, 0, 900, 0.95) == pytest.approx((0, -0.0031, 0.0031), abs=1e-4)


def test_the_interval_of_a_logarithm():
    assert in_logarithm(2, 0.1, 0.95) == pytest.approx((2, 2 / 1.21653, 2 * 1.21653), rel=1e-5)


def test_only_the_spread_within_a_class_counts():
    """Two classes of three that differ by 10: each has the variance 1."""
    values, strata = np.array([0.0, 10, 1, 11, 2, 12]), np.array([0, 1] * 3)
    assert stratified_error(values, strata) == pytest.approx(np.sqrt(1 / 6))
