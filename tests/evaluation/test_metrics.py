import numpy as np
import pytest

from erasediff_pipeline.config import EvaluationSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.judge import build_judge
from erasediff_pipeline.evaluation.metrics import evaluate_retained, evaluate_samples, round_metrics
from erasediff_pipeline.hashing import hash_weights

SETTINGS = EvaluationSettings(forget_samples=3, retain_samples=2, fid_backend="classifier")
ALL = 40
KEPT = [(1, 1, "retain", ALL), (2, 2, "retain", ALL)]


@pytest.fixture(scope="module")
def evaluate(judge, toy_images):
    """``evaluate(…, real)``: samples that are training images themselves, measured against the real classes.

    Each part is ``(shown, asked, role, count)``: images of one class, said to be drawn under the condition
    of another, or of the same.
    """

    def measure(*parts, real=(1, 2), images=toy_images):
        shown, asked, roles, counts = zip(*parts, strict=True)
        rows = [np.flatnonzero(images.labels == k)[:count] for k, count in zip(shown, counts, strict=True)]
        samples = images.select(np.concatenate(rows)).relabelled(np.repeat(asked, counts))
        kept = toy_images.select(np.isin(toy_images.labels, real))
        yardstick = build_judge(judge, kept, SETTINGS)
        return evaluate_samples(yardstick.look(samples), np.repeat(roles, counts), yardstick)

    return measure


@pytest.fixture(scope="module")
def perfect(evaluate):
    """Before forgetting."""
    return evaluate((0, 0, "forget", ALL), *KEPT)


def test_perfect_model_before_forgetting(judge, perfect):
    """Counts and backend stand beside the figures."""
    assert perfect["forget_accuracy"] == 1
    assert perfect["forget_probability"] > 0.8
    assert perfect["retain_accuracy"] == 1
    assert perfect["fid"] == pytest.approx(0, abs=1e-4)
    assert (perfect["precision"], perfect["recall"]) == (1, 1)
    assert 1.7 < perfect["inception_score"] <= 2  # of two retained classes, evenly
    assert (perfect["forget_samples"], perfect["retain_samples"], perfect["real_images"]) == (40, 80, 80)
    assert (perfect["fid_backend"], perfect["fid_weights_sha256"]) == ("classifier", hash_weights(judge))


def test_samples_without_guidance_are_measured_alike(judge, toy_images, perfect):
    kept = toy_images.select(toy_images.labels != 0)
    yardstick = build_judge(judge, kept, SETTINGS)
    figures = evaluate_retained(yardstick.look(kept), yardstick)
    assert figures == pytest.approx({name: perfect[name] for name in figures}, abs=1e-9)
    assert sorted(figures) == ["fid", "inception_score", "kid", "precision", "recall", "retain_accuracy"]


def test_perfectly_forgotten(evaluate):
    """Under the forgotten class 0 the model shows class 1."""
    metrics = evaluate((1, 0, "forget", ALL), *KEPT)
    assert metrics["forget_accuracy"] == 0
    assert metrics["forget_probability"] < 0.2
    assert metrics["retain_accuracy"] == 1
    assert metrics["fid"] == pytest.approx(0, abs=1e-4)
    drawn = metrics["forgotten"]
    assert (drawn["none"], drawn["other_class"], drawn["other_classes"]) == (0, 1, {"1": 1})
    assert drawn["precision"] == 1


def test_noise_under_the_forgotten_condition_is_no_class_and_unlike_the_retained(evaluate, toy_images):
    noise = np.random.default_rng(0).integers(256, size=(ALL, 1, 8, 8), dtype=np.uint8)
    images = LabelledImages(noise, np.full(ALL, 3)).join(toy_images)
    metrics = evaluate((3, 0, "forget", ALL), *KEPT, images=images)
    assert metrics["forget_accuracy"] == 0
    assert metrics["forgotten"]["none"] >= 0.95
    assert metrics["forgotten"]["precision"] <= 0.05
    assert metrics["forgotten"]["fid"] > 1


def test_damage_to_the_retained_is_seen(evaluate):
    """Half of the retained samples show the other retained class."""
    metrics = evaluate((0, 0, "forget", ALL), (1, 1, "retain", ALL), (2, 1, "retain", ALL))
    assert metrics["retain_accuracy"] == pytest.approx(0.5)


def test_fidelity_is_of_the_retained_samples_only(evaluate, toy_images):
    """What is drawn under the forgotten class must not count, however odd."""
    odd = LabelledImages(255 - toy_images.images, toy_images.labels + 3).join(toy_images)
    assert evaluate((3, 0, "forget", ALL), *KEPT, images=odd)["fid"] == pytest.approx(0, abs=1e-4)


def test_lost_class_raises_fid_and_lowers_recall(evaluate, perfect):
    one = evaluate((0, 0, "forget", ALL), (1, 1, "retain", ALL))
    assert one["fid"] > perfect["fid"] + 1
    assert one["recall"] <= 0.6
    assert one["inception_score"] < 1.2


def test_request_by_ids_measures_no_forgotten_class_under_the_same_keys(evaluate, perfect):
    metrics = evaluate((0, 0, "retain", ALL), *KEPT, real=(0, 1, 2))
    for key in ("forget_accuracy", "forget_accuracy_by_class", "forget_probability", "forget_entropy"):
        assert metrics[key] is None
    assert set(metrics["forgotten"].values()) == {None}
    assert list(metrics["forgotten"]) == list(perfect["forgotten"])
    assert (metrics["forget_samples"], metrics["retain_samples"]) == (0, 120)
    assert list(metrics) == list(perfect)


def test_two_forgotten_classes_are_told_apart(evaluate):
    """Class 0 is gone, class 2 is not: under 0 the model shows class 1."""
    parts = [(1, 0, "forget", ALL), (1, 1, "retain", ALL), (2, 2, "forget", ALL)]
    metrics = evaluate(*parts, real=[1])
    assert metrics["forget_accuracy_by_class"] == {"0": 0, "2": 1}
    assert metrics["forget_accuracy"] == 0.5


def test_prompts_that_were_erased_and_synonyms_are_apart(evaluate):
    """Class 0 is gone under new sentences, half there under those erased, and all there under synonyms."""
    erased = [(0, 0, "erase", 2), (1, 0, "erase", 2)]
    metrics = evaluate(*KEPT, (1, 0, "forget", 4), *erased, (0, 0, "synonym", 4))
    assert metrics["forget_accuracy"] == 0
    assert metrics["forget_accuracy_by_class"] == {"0": 0}
    assert metrics["forgotten"]["other_classes"] == {"1": 1}
    assert metrics["forget_accuracy_erased_prompts"] == 0.5
    assert metrics["forget_accuracy_synonyms"] == 1
    assert (metrics["forget_samples"], metrics["retain_samples"]) == (4, 80)


def test_where_every_prompt_was_erased_they_are_judged_by(evaluate):
    metrics = evaluate((0, 0, "erase", ALL), *KEPT)
    assert metrics["forget_accuracy"] == metrics["forget_accuracy_erased_prompts"] == 1


def test_of_two_classes_one_may_have_no_unseen_prompts(evaluate):
    """Class 0 is judged by its unseen prompts, class 2 by those that were worked on."""
    worked_on = [(0, 0, "erase", 4), (2, 2, "erase", 4)]
    metrics = evaluate((1, 1, "retain", ALL), (1, 0, "forget", 4), *worked_on, real=[1])
    assert metrics["forget_accuracy_by_class"] == {"0": 0, "2": 1}
    assert metrics["forget_samples"] == 8


def test_rounding_touches_floats_only():
    given = {"a": 0.12345678, "b": 3, "c": None, "d": "x", "e": {"0": 0.12345678, "1": 1}}
    assert round_metrics(given) == {**given, "a": 0.123457, "e": {"0": 0.123457, "1": 1}}
