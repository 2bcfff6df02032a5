import math

import pandas as pd
import pytest

from erasediff_pipeline.experiments.comparison import (
    COSTS,
    compared_metrics,
    half_width,
    mark_front,
    pareto_front,
    summarise,
)
from erasediff_pipeline.experiments.distance import COUNTS, DISTANCES

NOWHERE = dict.fromkeys(compared_metrics() + COUNTS + COSTS)


def by_method(*trials):
    """The summary of ``(method, seed, {name: value})``: what is not named was not measured."""
    table = [{"method": method, "seed": seed, **NOWHERE, **measured} for method, seed, measured in trials]
    return summarise(pd.DataFrame(table), 0.95).set_index("method")


@pytest.mark.parametrize(
    ("values", "confidence", "expected"),
    [
        ([1, 2, 3], 0.95, 4.302653 * 1 / math.sqrt(3)),  # t table, two degrees of freedom
        ([1, 2, 3], 0.90, 2.919986 * 1 / math.sqrt(3)),
        ([4, 8], 0.95, 12.706205 * math.sqrt(8) / math.sqrt(2)),
        ([2, 4, 4, 4, 5, 5, 7, 9], 0.99, 3.499483 * math.sqrt(32 / 7) / math.sqrt(8)),
        ([5, 5, 5], 0.95, 0),
        *((values, 0.95, math.nan) for values in ([], [3], [math.nan, 3])),
    ],
)
def test_interval_is_students_and_none_of_fewer_than_two_values(values, confidence, expected):
    found = half_width(pd.Series(values, dtype=float), confidence)
    assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_mean_and_interval_of_each_method():
    rows = by_method(
        ("retrain", 0, {"fid": 1.0, "wall_seconds": 10}),
        ("esd", 0, {"fid": 4.0, "wall_seconds": 1}),
        ("retrain", 1, {"fid": 2.0, "wall_seconds": 30}),
        ("esd", 1, {"fid": 8.0, "wall_seconds": 1}),
        ("retrain", 2, {"fid": 3.0, "wall_seconds": 20}),
        ("neggrad", 0, {"fid": 4.0, "wall_seconds": 5}),
    )
    assert list(rows.index) == ["retrain", "esd", "neggrad"]  # in the order of the trials
    assert list(rows["seeds"]) == [3, 2, 1]
    assert list(rows["fid"]) == [2, 6, 4]
    assert list(rows["wall_seconds"]) == [20, 1, 5]
    for name, expected in (("fid", [2.484138, 25.412410]), ("wall_seconds", [24.84138, 0])):
        found = list(rows[f"{name}_interval"])
        assert found == pytest.approx([*expected, math.nan], rel=1e-6, nan_ok=True)  # none of one seed


def test_what_was_not_measured_is_nan_everywhere():
    rows, measured = by_method(("base", 0, {}), ("retrain", 0, {})), compared_metrics() + COSTS + DISTANCES
    assert rows[[*measured, *(f"{name}_interval" for name in measured)]].isna().all(axis=None)


POINTS = {
    "best of both": (0.0, 9.0, True),
    "keeps more, leaves more": (0.2, 12.0, True),
    "keeps most": (0.5, 15.0, True),
    "its twin": (0.2, 12.0, True),  # neither beats the other
    "as forgotten, keeps less": (0.2, 11.0, False),
    "as kept, leaves more": (0.6, 15.0, False),
    "worse in both": (0.3, 8.0, False),
}


def test_pareto_front_of_a_known_case():
    points = pd.DataFrame.from_dict(POINTS, orient="index", columns=["forgotten", "kept", "on the front"])
    for rows in (points, points[::-1]):
        assert pareto_front(rows["forgotten"], rows["kept"]).to_dict() == points["on the front"].to_dict()


def test_pareto_front_of_one_or_none():
    assert list(pareto_front(pd.Series([0.5]), pd.Series([1.0]))) == [True]
    empty = pd.Series([], dtype=float)
    assert list(pareto_front(empty, empty)) == []


def test_the_front_is_that_without_guidance():
    """With guidance, ESD would be on it, and EraseDiff would not."""
    fids = {"base": (1.0, 1.0), "esd": (2.0, 9.0), "erasediff": (3.0, 4.0), "retrain": (1.0, 1.0)}
    trials = [
        (m, 0, {"forget_accuracy": 0, "fid": w, "unguided_fid": plain}) for m, (w, plain) in fids.items()
    ]
    assert list(mark_front(by_method(*trials).reset_index())) == [False, False, True, False]
