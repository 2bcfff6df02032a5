import numpy as np
import pytest

from erasediff_pipeline.config import EvaluationSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.metrics import evaluate_samples, plan_labels, round_metrics
from erasediff_pipeline.hashing import hash_weights

SETTINGS = EvaluationSettings(forget_samples=3, retain_samples=2, fid_backend="classifier")


def relabel(images, wrong):
    """The same images, said to be drawn under other conditions: ``wrong[shown] = condition``."""
    return LabelledImages(images.images, np.array([wrong.get(int(k), int(k)) for k in images.labels]))


@pytest.fixture(scope="module")
def kept(toy_images):
    return toy_images.select(toy_images.labels != 0)


def test_plan_for_classes():
    assert plan_labels([0, 1, 2], [1], SETTINGS) == [0, 0, 1, 1, 1, 2, 2]


def test_plan_for_ids_treats_all_alike():
    assert plan_labels([0, 1, 2], [], SETTINGS) == [0, 0, 1, 1, 2, 2]


def test_perfect_model_before_forgetting(judge, toy_images, kept):
    """Samples that are the training images themselves."""
    metrics = evaluate_samples(toy_images, [0], kept, judge, SETTINGS)
    assert metrics["forget_accuracy"] == 1
    assert metrics["forget_probability"] > 0.8
    assert metrics["retain_accuracy"] == 1
    assert metrics["fid"] == pytest.approx(0, abs=1e-4)
    assert (metrics["precision"], metrics["recall"]) == (1, 1)


def test_perfectly_forgotten(judge, toy_images, kept):
    """Under the forgotten class 0 the model shows class 1."""
    class_1 = toy_images.select(toy_images.labels == 1)
    samples = LabelledImages(
        np.concatenate([class_1.images, kept.images]),
        np.concatenate([np.zeros(len(class_1), np.int64), kept.labels]),
    )
    metrics = evaluate_samples(samples, [0], kept, judge, SETTINGS)
    assert metrics["forget_accuracy"] == 0
    assert metrics["forget_probability"] < 0.2
    assert metrics["retain_accuracy"] == 1
    assert metrics["fid"] == pytest.approx(0, abs=1e-4)


def test_damage_to_the_retained_is_seen(judge, toy_images, kept):
    """Half of the retained samples show the other retained class."""
    samples = relabel(toy_images, {2: 1})
    metrics = evaluate_samples(samples, [0], kept, judge, SETTINGS)
    assert metrics["retain_accuracy"] == pytest.approx(0.5)


def test_fidelity_is_of_the_retained_samples_only(judge, toy_images, kept):
    """What is drawn under the forgotten class must not count, however odd."""
    images = toy_images.images.copy()
    images[toy_images.labels == 0] = 255 - images[toy_images.labels == 0]
    metrics = evaluate_samples(LabelledImages(images, toy_images.labels), [0], kept, judge, SETTINGS)
    assert metrics["fid"] == pytest.approx(0, abs=1e-4)


def test_lost_class_raises_fid_and_lowers_recall(judge, toy_images, kept):
    both = evaluate_samples(toy_images, [0], kept, judge, SETTINGS)
    without_2 = toy_images.select(toy_images.labels != 2)
    one = evaluate_samples(without_2, [0], kept, judge, SETTINGS)
    assert one["fid"] > both["fid"] + 1
    assert one["recall"] <= 0.6


def test_counts_and_backend_stand_beside_the_figures(judge, toy_images, kept):
    metrics = evaluate_samples(toy_images, [0], kept, judge, SETTINGS)
    assert (metrics["forget_samples"], metrics["retain_samples"], metrics["real_images"]) == (40, 80, 80)
    assert (metrics["fid_backend"], metrics["fid_weights_sha256"]) == ("classifier", hash_weights(judge))


def test_request_by_ids_measures_no_forgotten_class(judge, toy_images):
    metrics = evaluate_samples(toy_images, [], toy_images, judge, SETTINGS)
    for key in ("forget_accuracy", "forget_accuracy_by_class", "forget_probability", "forget_entropy"):
        assert metrics[key] is None
    assert (metrics["forget_samples"], metrics["retain_samples"]) == (0, 120)


def test_both_kinds_of_request_have_the_same_keys(judge, toy_images, kept):
    by_class = evaluate_samples(toy_images, [0], kept, judge, SETTINGS)
    by_ids = evaluate_samples(toy_images, [], toy_images, judge, SETTINGS)
    assert list(by_class) == list(by_ids)


def test_two_forgotten_classes_are_told_apart(judge, toy_images):
    """Class 0 is gone, class 2 is not: under 0 the model shows class 1."""
    class_1 = toy_images.select(toy_images.labels == 1)
    others = toy_images.select(toy_images.labels != 0)
    samples = LabelledImages(
        np.concatenate([class_1.images, others.images]),
        np.concatenate([np.zeros(len(class_1), np.int64), others.labels]),
    )
    metrics = evaluate_samples(samples, [0, 2], class_1, judge, SETTINGS)
    assert metrics["forget_accuracy_by_class"] == {"0": 0, "2": 1}
    assert metrics["forget_accuracy"] == 0.5


def test_rounding_touches_floats_only():
    assert round_metrics({"a": 0.12345678, "b": 3, "c": None, "d": "x", "e": {"0": 0.12345678, "1": 1}}) == {
        "a": 0.123457,
        "b": 3,
        "c": None,
        "d": "x",
        "e": {"0": 0.123457, "1": 1},
    }
