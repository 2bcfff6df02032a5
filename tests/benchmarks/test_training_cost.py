from types import SimpleNamespace

import pytest

import training_cost
from erasediff_pipeline.unlearning.erasediff import EraseDiff, EraseDiffSettings
from tests.helpers.runs import weights_of


@pytest.fixture
def bench(unet_model, data):
    return SimpleNamespace(model=unet_model, data=data)


def settings(steps):
    options = {"schedule": "constant", "checkpoint_every": 4, "ema_decay": 0.9}
    return EraseDiffSettings(steps=steps, batch_size=4, **options)


def test_a_stage_is_what_a_shorter_training_ends_with(bench, monkeypatch):
    """Under a constant learning rate; under another schedule the shorter one would have its own."""
    monkeypatch.setattr(training_cost, "EVERY", 4)
    stages = training_cost.stages(bench, settings(9))
    found = [(step, weights_of(model), spent) for step, model, spent in stages]
    assert [step for step, *_ in found] == [4, 8, 9]
    for step, weights, _ in found:
        model = bench.model()
        training_cost.run_training(model, EraseDiff(settings(step)), bench.data, settings(step))
        assert weights == weights_of(model)
    assert 0 < found[0][2] <= found[1][2] <= found[2][2]


def test_memory_counts_what_a_step_holds(bench):
    """Twice the batch holds more, and never less than the weights."""
    small, large = (
        training_cost.peak_of(bench.model(), EraseDiff(way), bench.data, way)
        for way in (EraseDiffSettings(steps=2, batch_size=size) for size in (2, 8))
    )
    assert large > small
    weights = sum(p.numel() * p.element_size() for p in bench.model().parameters())
    assert small > 3 * weights  # with Adam's two moments


def test_gone_and_kept_are_both_needed():
    reached = {"forget_accuracy": 0.02, "retain_accuracy": 0.99}
    assert training_cost.reaches(reached)
    assert not training_cost.reaches(reached | {"forget_accuracy": 0.03})
    assert not training_cost.reaches(reached | {"retain_accuracy": 0.98})


def test_a_short_sampler_counts_only_where_its_fid_is_as_good():
    fids = {("ddpm", 1000): 10.0, ("dpm_solver", 15): 10.6, ("sde_dpm_solver", 20): 10.4}

    def evaluate(pipeline, way, evaluation):
        return {"fid": fids[way.sampler, way.steps]}

    default, stochastic = training_cost.sampling_cost(SimpleNamespace(base=None, evaluate=evaluate))
    assert (default.value, default.verdict) == (None, "missed")
    assert (stochastic.value, stochastic.verdict) == (20 / 1000, "reached")
    assert "+6.0%" in default.detail
