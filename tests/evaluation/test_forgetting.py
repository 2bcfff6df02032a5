import math

import pytest
import torch

from erasediff_pipeline.evaluation.forgetting import entropy, measure_drawn, measure_forgetting


def test_entropy_of_known_cases():
    """The logarithm of k where k are alike, nothing where all is certain."""
    for k in (2, 10, 1000):
        assert float(entropy(torch.full((1, k), 1 / k))) == pytest.approx(math.log(k), rel=1e-5)
    assert entropy(torch.eye(3)).tolist() == [0, 0, 0]
    expected = 0.5 * math.log(2) + 2 * 0.25 * math.log(4)
    assert float(entropy(torch.tensor([[0.5, 0.25, 0.25]]))) == pytest.approx(expected)


def test_four_samples_counted_by_hand():
    probabilities = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.4, 0.5, 0.1], [0.0, 0.0, 1.0]])
    measured = measure_forgetting(probabilities, torch.tensor([0, 1, 0, 1]))
    assert measured["forget_accuracy"] == 0.5
    assert measured["forget_probability"] == pytest.approx((0.8 + 0.7 + 0.4 + 0.0) / 4)
    expected = -sum(p * math.log(p) for p in probabilities.flatten().tolist() if p) / 4
    assert measured["forget_entropy"] == pytest.approx(expected)


def test_each_class_has_an_accuracy_of_its_own():
    """All of class 7, one in three of class 2, none of class 5, in any order."""
    seen, asked = torch.tensor([2, 7, 1, 7, 3, 2]), torch.tensor([2, 7, 2, 7, 2, 5])
    assert measure_forgetting(torch.eye(8)[seen], asked) == {
        "forget_accuracy": pytest.approx(3 / 6),
        "forget_accuracy_by_class": pytest.approx({"2": 1 / 3, "5": 0, "7": 1}),
        "forget_probability": pytest.approx(3 / 6),
        "forget_entropy": 0,
    }


def test_what_is_drawn_in_place_of_the_class_counted_by_hand():
    """Of six samples one shows its class, three another and two none, which is 9."""
    seen, asked = torch.tensor([2, 7, 9, 7, 3, 9]), torch.tensor([2, 2, 2, 2, 7, 7])
    assert measure_drawn(seen, asked, 9) == {
        "none": 2 / 6,
        "other_class": 3 / 6,
        "other_classes": {"3": 1 / 6, "7": 2 / 6},
    }
    assert set(measure_drawn(seen, asked, None).values()) == {None}
