import math

import numpy as np
import pandas as pd
import pytest

from erasediff_pipeline.experiments.distance import (
    DISTANCES,
    QUESTIONS,
    add_distances,
    reason_without_distance,
    spread,
)

RETRAINED = {
    "forget_accuracy": (0.0, 0.0, 0.0),
    "unguided_retain_accuracy": (0.90, 0.95, 1.00),
    "unguided_precision": (0.7, 0.8, 0.9),
    "unguided_recall": (0.8, 0.8, 0.8),
}
WILSON = 1.959964**2 / (200 + 1.959964**2) / (2 * 1.959964)
"""Standard error of 0 of 200 samples: the interval is 0 to z²/(n + z²)."""
COUNTS = {"forget_images": 20, "forget_samples": 200, "retain_samples": 10**6, "real_images": 10**6}


def trials(retrained=RETRAINED, **others):
    """Three retrained models, and a trial of each other method."""
    rows = [{n: values[i] for n, values in retrained.items()} for i in range(3)]
    table = pd.DataFrame([*rows, *others.values()]).reindex(columns=list(QUESTIONS))
    return table.assign(method=["retrain"] * 3 + list(others), **COUNTS)


def test_each_question_counts_once_in_units_of_the_spread_between_retrained_models():
    """Root mean square of 3, 1, 2 and 0 units; an unasked question counts for nothing."""
    esd = {"unguided_retain_accuracy": 0.90, "unguided_precision": 1.0, "unguided_recall": 0.8}
    found = add_distances(trials(esd=esd | {"forget_accuracy": 3 * WILSON})).set_index("method").loc["esd"]
    assert found["distance"] == pytest.approx(math.sqrt((9 + 1 + 4 + 0) / 4), rel=1e-5)
    assert math.isnan(found["forget_membership_auc_distance"])
    assert found["unguided_precision_distance"] == pytest.approx(2)


def test_a_retrained_model_is_measured_from_the_others():
    """0.90 is 0.075 below the mean of 0.95 and 1.00; 0.05 is the standard deviation of the three."""
    found = add_distances(trials())
    assert list(found["unguided_retain_accuracy_distance"]) == pytest.approx([1.5, 0, 1.5])
    assert list(found["distance"]) == pytest.approx([1.5 / math.sqrt(2), 0, 1.5 / math.sqrt(2)])


def test_the_noise_floor_of_equal_models_is_known():
    """The mean square of n models is n / (n − 1) on each question, if their spread is above the error."""
    draws = np.random.default_rng(0).normal(0.5, 0.05, (4, 3))
    rows = trials(dict(zip(RETRAINED, draws, strict=True))).assign(forget_samples=10**6)
    found = add_distances(rows)
    assert (found["distance"] ** 2).mean() == pytest.approx(3 / 2)


@pytest.mark.parametrize(
    ("figure", "value", "error"),
    [
        ("forget_accuracy", 0.0, WILSON),
        ("forget_membership_auc", 0.5, 1 / math.sqrt(12 * 20)),
        ("unguided_recall", 0.8, math.sqrt(0.8 * 0.2 / 10**6)),
    ],
)
def test_figures_that_happen_to_be_equal_have_their_sampling_error(figure, value, error):
    assert spread(trials({figure: (value,) * 3}))[figure] == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize(
    ("retrained", "reason"),
    [
        (0, "compare.methods does not include retrain"),
        (2, "it needs 3 retrained models, here 2: --params=compare.retrained_seeds=3"),
        (3, ""),
    ],
)
def test_too_few_retrained_models_give_no_distance_but_a_reason(retrained, reason):
    rows = trials(esd=dict.fromkeys(QUESTIONS, 0.5))
    rows = rows.drop(index=range(3 - retrained))
    summary = rows.groupby("method").size().rename("seeds").reset_index()
    assert reason_without_distance(summary) == reason
    assert add_distances(rows)[DISTANCES].isna().all(axis=None) == bool(reason)
