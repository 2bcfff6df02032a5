import numpy as np
import pytest

from erasediff_pipeline.config import EvaluationSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.metrics import evaluate_samples, round_metrics
from erasediff_pipeline.hashing import hash_weights

SETTINGS = EvaluationSettings(forget_samples=3, retain_samples=2, fid_backend="classifier")


def relabel(images, wrong):
    """The same images, said to be drawn under other conditions: ``wrong[shown] = condition``."""
    return LabelledImages(images.images, np.array([wrong.get(int(k), int(k)) for k in images.labels]))


@pytest.fixture(scope="module")
def kept(toy_images):
    return toy_images.select(toy_images.labels != 0)


def evaluate(samples, forgotten, real, judge, settings=SETTINGS):
    """With classes for conditions."""
    roles = np.where(np.isin(samples.labels, forgotten), "forget", "retain")
    return evaluate_samples(samples, roles, real, judge, settings)


def test_perfect_model_before_forgetting(judge, toy_images, kept):
    """Samples that are the training images themselves."""
    metrics = evaluate(toy_images, [0], kept, judge)
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
    metrics = evaluate(samples, [0], kept, judge)
    assert metrics["forget_accuracy"] == 0
    assert metrics["forget_probability"] < 0.2
    assert metrics["retain_accuracy"] == 1
    assert metrics["fid"] == pytest.approx(0, abs=1e-4)


def test_damage_to_the_retained_is_seen(judge, toy_images, kept):
    """Half of the retained samples show the other retained class."""
    samples = relabel(toy_images, {2: 1})
    metrics = evaluate(samples, [0], kept, judge)
    assert metrics["retain_accuracy"] == pytest.approx(0.5)


def test_fidelity_is_of_the_retained_samples_only(judge, toy_images, kept):
    """What is drawn under the forgotten class must not count, however odd."""
    images = toy_images.images.copy()
    images[toy_images.labels == 0] = 255 - images[toy_images.labels == 0]
    metrics = evaluate(LabelledImages(images, toy_images.labels), [0], kept, judge)
    assert metrics["fid"] == pytest.approx(0, abs=1e-4)


def test_lost_class_raises_fid_and_lowers_recall(judge, toy_images, kept):
    both = evaluate(toy_images, [0], kept, judge)
    without_2 = toy_images.select(toy_images.labels != 2)
    one = evaluate(without_2, [0], kept, judge)
    assert one["fid"] > both["fid"] + 1
    assert one["recall"] <= 0.6


def test_counts_and_backend_stand_beside_the_figures(judge, toy_images, kept):
    metrics = evaluate(toy_images, [0], kept, judge)
    assert (metrics["forget_samples"], metrics["retain_samples"], metrics["real_images"]) == (40, 80, 80)
    assert (metrics["fid_backend"], metrics["fid_weights_sha256"]) == ("classifier", hash_weights(judge))


def test_request_by_ids_measures_no_forgotten_class(judge, toy_images):
    metrics = evaluate(toy_images, [], toy_images, judge)
    for key in ("forget_accuracy", "forget_accuracy_by_class", "forget_probability", "forget_entropy"):
        assert metrics[key] is None
    assert (metrics["forget_samples"], metrics["retain_samples"]) == (0, 120)


def test_both_kinds_of_request_have_the_same_keys(judge, toy_images, kept):
    by_class = evaluate(toy_images, [0], kept, judge)
    by_ids = evaluate(toy_images, [], toy_images, judge)
    assert list(by_class) == list(by_ids)


def test_two_forgotten_classes_are_told_apart(judge, toy_images):
    """Class 0 is gone, class 2 is not: under 0 the model shows class 1."""
    class_1 = toy_images.select(toy_images.labels == 1)
    others = toy_images.select(toy_images.labels != 0)
    samples = LabelledImages(
        np.concatenate([class_1.images, others.images]),
        np.concatenate([np.zeros(len(class_1), np.int64), others.labels]),
    )
    metrics = evaluate(samples, [0, 2], class_1, judge)
    assert metrics["forget_accuracy_by_class"] == {"0": 0, "2": 1}
    assert metrics["forget_accuracy"] == 0.5


def test_prompts_that_were_erased_and_synonyms_are_apart(judge, toy_images, kept):
    """Class 0 is gone under new sentences, half there under those erased, and all there under synonyms."""
    shown = [toy_images.select(toy_images.labels == k).select(np.arange(4)) for k in (1, 0, 0)]
    shown[1] = shown[1].select(np.arange(2)).join(shown[0].select(np.arange(2)))
    drawn = kept.join(shown[0]).join(shown[1]).join(shown[2])
    labels = np.concatenate([kept.labels, np.zeros(12, np.int64)])
    roles = np.array(["retain"] * len(kept) + ["forget"] * 4 + ["erase"] * 4 + ["synonym"] * 4)
    metrics = evaluate_samples(drawn.relabelled(labels), roles, kept, judge, SETTINGS)
    assert metrics["forget_accuracy"] == 0
    assert metrics["forget_accuracy_by_class"] == {"0": 0}
    assert metrics["forget_accuracy_erased_prompts"] == 0.5
    assert metrics["forget_accuracy_synonyms"] == 1
    assert (metrics["forget_samples"], metrics["retain_samples"]) == (4, len(kept))


def test_where_every_prompt_was_erased_they_are_judged_by(judge, toy_images, kept):
    roles = np.where(toy_images.labels == 0, "erase", "retain")
    metrics = evaluate_samples(toy_images, roles, kept, judge, SETTINGS)
    assert metrics["forget_accuracy"] == metrics["forget_accuracy_erased_prompts"] == 1


def test_of_two_classes_one_may_have_no_unseen_prompts(judge, toy_images):
    """Class 0 is judged by its unseen prompts, class 2 by those that were worked on."""
    others = toy_images.select(toy_images.labels == 1)
    shown = [toy_images.select(toy_images.labels == k).select(np.arange(4)) for k in (1, 0, 2)]
    drawn = others.join(shown[0]).join(shown[1]).join(shown[2])
    labels = np.concatenate([others.labels, np.zeros(8, np.int64), np.full(4, 2)])
    roles = np.array(["retain"] * len(others) + ["forget"] * 4 + ["erase"] * 8)
    metrics = evaluate_samples(drawn.relabelled(labels), roles, others, judge, SETTINGS)
    assert metrics["forget_accuracy_by_class"] == {"0": 0, "2": 1}
    assert metrics["forget_samples"] == 8


def test_rounding_touches_floats_only():
    assert round_metrics({"a": 0.12345678, "b": 3, "c": None, "d": "x", "e": {"0": 0.12345678, "1": 1}}) == {
        "a": 0.123457,
        "b": 3,
        "c": None,
        "d": "x",
        "e": {"0": 0.123457, "1": 1},
    }
