import math

import pandas as pd
import pytest

from erasediff_pipeline.experiments.comparison import (
    COSTS,
    add_distances,
    compared_metrics,
    half_width,
    pareto_front,
    summarise,
)

NOWHERE = dict.fromkeys(compared_metrics() + COSTS)


def table(*trials):
    """``(method, seed, {name: value})``: what is not named was not measured."""
    return pd.DataFrame(
        [{"method": method, "seed": seed, **NOWHERE, **measured} for method, seed, measured in trials]
    )


def by_method(summary):
    return summary.set_index("method")


@pytest.mark.parametrize(
    ("values", "confidence", "expected"),
    [
        ([1, 2, 3], 0.95, 4.302653 * 1 / math.sqrt(3)),  # t table, two degrees of freedom
        ([1, 2, 3], 0.90, 2.919986 * 1 / math.sqrt(3)),
        ([4, 8], 0.95, 12.706205 * math.sqrt(8) / math.sqrt(2)),
        ([2, 4, 4, 4, 5, 5, 7, 9], 0.99, 3.499483 * math.sqrt(32 / 7) / math.sqrt(8)),
        ([5, 5, 5], 0.95, 0),
    ],
)
def test_interval_is_students(values, confidence, expected):
    assert half_width(pd.Series(values, dtype=float), confidence) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("values", [[], [3], [math.nan, 3]])
def test_fewer_than_two_values_have_no_interval(values):
    assert math.isnan(half_width(pd.Series(values, dtype=float), 0.95))


def test_mean_and_interval_of_each_method():
    trials = table(
        ("retrain", 0, {"fid": 1.0, "wall_seconds": 10}),
        ("esd", 0, {"fid": 4.0, "wall_seconds": 1}),
        ("retrain", 1, {"fid": 2.0, "wall_seconds": 30}),
        ("esd", 1, {"fid": 8.0, "wall_seconds": 1}),
        ("retrain", 2, {"fid": 3.0, "wall_seconds": 20}),
    )
    summary = summarise(trials, 0.95)
    assert list(summary["method"]) == ["retrain", "esd"]  # in the order of the trials
    assert list(summary["seeds"]) == [3, 2]
    rows = by_method(summary)
    assert list(rows["fid"]) == [2, 6]
    assert list(rows["fid_interval"]) == pytest.approx([2.484138, 25.412410], rel=1e-6)
    assert list(rows["wall_seconds"]) == [20, 1]
    assert list(rows["wall_seconds_interval"]) == pytest.approx([24.84138, 0], rel=1e-6)


def test_one_seed_has_a_mean_and_no_interval():
    row = summarise(table(("esd", 0, {"fid": 4.0})), 0.95).iloc[0]
    assert row["fid"] == 4
    assert math.isnan(row["fid_interval"])


def test_what_was_not_measured_is_nan_everywhere():
    summary = add_distances(summarise(table(("base", 0, {}), ("retrain", 0, {})), 0.95), classes=10)
    for name in compared_metrics() + COSTS:
        assert summary[[name, f"{name}_interval"]].isna().all(axis=None)
    assert summary[[*(f"{name}_distance" for name in compared_metrics()), "distance"]].isna().all(axis=None)


GOLD = {
    "forget_accuracy": 0.10,
    "forget_entropy": 2.0,
    "forget_membership_auc": 0.5,
    "fid": 4.0,
    "precision": 0.9,
    "wall_seconds": 100.0,
}
OTHER = {
    "forget_accuracy": 0.04,
    "forget_entropy": 1.0,
    "forget_membership_auc": 0.7,
    "fid": 5.0,
    "precision": 0.95,
    "wall_seconds": 1.0,
}
DISTANCES = {
    "forget_accuracy": 0.06,  # shares as they are
    "forget_membership_auc": 0.2,
    "precision": 0.05,
    "forget_entropy": 1 / math.log(10),  # of its largest value
    "fid": 0.25,  # relative to the retrained model's
}


@pytest.fixture
def distances():
    summary = summarise(table(("esd", 0, OTHER), ("retrain", 0, GOLD)), 0.95)
    return by_method(add_distances(summary, classes=10))


def test_distances_are_without_a_unit(distances):
    row = distances.loc["esd"]
    assert {name: row[f"{name}_distance"] for name in DISTANCES} == pytest.approx(DISTANCES)


def test_distance_is_the_mean_of_what_was_measured(distances):
    """Three metrics were not measured, and costs are no distance."""
    assert distances.loc["esd", "distance"] == pytest.approx(sum(DISTANCES.values()) / 5)
    assert not [name for name in distances.columns if name.startswith("wall") and "distance" in name]


def test_the_retrained_model_is_at_no_distance_from_itself(distances):
    assert distances.loc["retrain", "distance"] == 0
    assert all(distances.loc["retrain", f"{name}_distance"] == 0 for name in DISTANCES)


def test_distances_are_between_means():
    trials = table(
        *(("retrain", seed, {"fid": fid}) for seed, fid in enumerate([3.0, 5.0])),
        *(("esd", seed, {"fid": fid}) for seed, fid in enumerate([2.0, 6.0])),
    )
    summary = by_method(add_distances(summarise(trials, 0.95), classes=10))
    assert summary.loc["esd", "fid_distance"] == 0


def test_without_a_retrained_model_there_are_no_distances():
    summary = add_distances(summarise(table(("base", 0, OTHER), ("esd", 0, OTHER)), 0.95), classes=10)
    columns = [*(f"{name}_distance" for name in compared_metrics()), "distance"]
    assert summary[columns].isna().all(axis=None)
    assert list(summary["fid"]) == [5, 5]


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
    names = list(POINTS)
    forgotten = pd.Series([POINTS[name][0] for name in names], index=names)
    kept = pd.Series([POINTS[name][1] for name in names], index=names)
    assert pareto_front(forgotten, kept).to_dict() == {name: POINTS[name][2] for name in names}
    shuffled = names[::-1]
    assert pareto_front(forgotten[shuffled], kept[shuffled]).to_dict() == {n: POINTS[n][2] for n in names}


def test_pareto_front_of_one_or_none():
    assert list(pareto_front(pd.Series([0.5]), pd.Series([1.0]))) == [True]
    empty = pd.Series([], dtype=float)
    assert list(pareto_front(empty, empty)) == []
