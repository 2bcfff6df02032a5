import logging

import pytest
import torch

from erasediff_pipeline.config import EvaluationSettings, Gate, GateSettings, SamplingSettings
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier
from erasediff_pipeline.evaluation.measure import sample_model, sample_unguided
from erasediff_pipeline.evidence.deciding import Sampled, double, measure_pair, measure_until_decided
from tests.helpers.tasks import toy_task

FEW = EvaluationSettings(forget_samples=2, retain_samples=4, precision_neighbours=1)
SAMPLING = SamplingSettings(steps=2, guidance_scale=1.0)


@pytest.fixture(scope="module")
def measure(toy_images, unet_model):
    """``measure(at_least, evaluation, seed)``: of a model against another; a limit decides how often."""
    torch.manual_seed(0)
    task, judge = toy_task(toy_images), Classifier(channels=8, features=4, classes=3)

    def draw(title, seed, evaluation):
        given = (task, SAMPLING, evaluation, 0, title)
        pipeline = unet_model(seed).to_pipeline()
        samples = sample_model(pipeline, *given)
        return Sampled(title, pipeline, samples, sample_unguided(pipeline, samples, *given), {})

    def run(at_least, evaluation, seed=0):
        models = draw("base", 0, evaluation), draw("erased", seed, evaluation)
        if at_least is None:
            return measure_pair("esd", *models, task, judge, evaluation, 0.95)
        gates = GateSettings(limits={"unguided_retain_accuracy": Gate(at_least=at_least, of="base")})
        return measure_until_decided("esd", *models, task, judge, SAMPLING, evaluation, gates, 0)

    return run


def of_counts(forget, retain):
    return FEW.model_copy(update={"forget_samples": forget, "retain_samples": retain})


@pytest.mark.parametrize(
    ("at_least", "most", "forget", "retain"),
    [
        pytest.param(-0.3, None, 2, 4, id="held"),
        pytest.param(-0.2, None, 4, 8, id="held later"),
        pytest.param(-0.01, None, 8, 16, id="at four times"),
        pytest.param(-0.2, 1, 2, 4, id="no more"),
        pytest.param(-0.01, 6, 6, 6, id="at a maximum"),
        pytest.param(0.3, None, 2, 4, id="failed"),
    ],
)
def test_samples_are_drawn_until_the_gate_is_decided(measure, caplog, at_least, most, forget, retain):
    """Of 8 samples of the same model, none differs: ± .28; of 16: ± .15. As many at once give the same."""
    caplog.set_level(logging.INFO)
    found = measure(at_least, FEW.model_copy(update={"max_samples": most}))
    assert ("undecided: unguided_retain_accuracy ≥ base −" in caplog.text) is (retain > 4)
    known = {"classifier_accuracy", "classifier_images"}
    for model in ("base", "erased"):
        assert known <= found[model].keys()
        found[model] = {key: value for key, value in found[model].items() if key not in known}
    assert found == measure(None, of_counts(forget, retain))


def test_counts_are_doubled_up_to_their_maximum():
    first = of_counts(3, 2).model_copy(update={"max_samples": 8})
    second = double(first, first)
    assert (second.forget_samples, second.retain_samples) == (6, 4)
    third = double(second, first)
    assert (third.forget_samples, third.retain_samples) == (8, 8)
    assert double(third, first) == third


def test_pairs_are_of_the_figures_beside_them(measure):
    found = measure(None, of_counts(2, 20), seed=1)
    for prefix in ("", "unguided_"):
        base, erased = (found[w]["unguided"] if prefix else found[w] for w in ("base", "erased"))
        shares, fid = (found["paired"][f"{prefix}{name}"] for name in ("retain_accuracy", "fid"))
        difference = erased["retain_accuracy"] - base["retain_accuracy"]
        assert shares["difference"] == pytest.approx(difference, abs=2e-6)
        assert shares["only_erased"] - shares["only_base"] == pytest.approx(40 * difference)
        assert fid["ratio"] == pytest.approx(erased["fid"] / base["fid"], rel=1e-4)
        assert 0 < fid["low"] < fid["ratio"] < fid["high"]
        for of_model in (base, erased):
            assert of_model["fid_low"] < of_model["fid"] < of_model["fid_high"]


def test_the_same_images_have_the_same_fid_without_doubt(measure):
    assert measure(None, FEW)["paired"]["fid"] == {"ratio": 1, "low": 1, "high": 1}
