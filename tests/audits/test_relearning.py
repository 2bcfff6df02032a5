import pandas as pd
import pytest
import torch

from erasediff_pipeline.audits.relearning import area_under, relearn, steps_to_half
from erasediff_pipeline.config import RelearningSettings

SETTINGS = RelearningSettings(steps=5, images=12, batch_size=8, learning_rate=0.01)


@pytest.fixture
def teach(linear_model, toy_images):
    """``teach(measure)``: a model, each time of the same weights, and the curve of relearning it."""

    def run(measure, source=toy_images, **changes):
        model = linear_model(shape=(1, 8, 8))
        return model, relearn(model, source, measure, SETTINGS.model_copy(update=changes), 0)

    return run


def test_it_is_measured_after_each_step(teach, linear_model):
    seen = []

    def measure(pupil, step):
        assert step == len(seen)
        seen.append(pupil.bias.detach().clone())
        return len(seen) / 10

    model, curve = teach(measure)
    assert curve["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert curve["forget_accuracy"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert torch.equal(seen[0], model.bias)
    assert not torch.equal(seen[1], seen[0])
    before = linear_model(shape=(1, 8, 8)).parameters()
    assert all(torch.equal(one, two) for one, two in zip(before, model.parameters(), strict=True))


def test_one_that_is_stopped_loses_no_point(teach):
    """A checkpoint would bring the weights back, and not what was measured on the way to them."""
    seen = []

    def stop(pupil, step):
        seen.append(pupil)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        teach(stop, checkpoint_every=1)
    _, curve = teach(lambda pupil, step: 0.0, checkpoint_every=1)
    assert curve["step"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("draws", [1, 7])
def test_measuring_does_not_change_what_is_learnt(teach, draws):
    """Whatever a look draws from the global generator, and although it switches training off."""
    last, quiet = [], []

    def measure(pupil, step):
        last.append(pupil.eval().bias.detach().clone())
        return float(torch.rand(draws).mean())

    teach(measure)
    teach(lambda pupil, step: quiet.append(pupil.bias.detach().clone()) or 0.0)
    assert torch.equal(last[-1], quiet[-1])


def test_it_is_taught_with_so_many_images(teach, toy_images):
    """One image of class 2: no other condition's bias moves."""
    last = []
    images = toy_images.select(toy_images.labels == 2).join(toy_images)
    measure = lambda pupil, step: last.append(pupil.bias.clone()) or 0.0  # noqa: E731
    model, _ = teach(measure, images, images=1, condition_dropout=0.0)
    moved = (last[-1] != model.bias).any(dim=1)
    assert moved.tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("shares", "whole", "steps"),
    [
        ([0.0, 0.1, 0.5, 0.9], 1.0, 2),
        ([0.0, 0.1, 0.5, 0.9], 0.9, 2),
        ([0.0, 0.1, 0.2, 0.3], 1.0, None),
        ([0.6, 0, 0, 0], 1.0, 0),
    ],
)
def test_half_of_what_the_base_model_draws(shares, whole, steps):
    curve = pd.DataFrame({"step": [0, 1, 2, 4], "forget_accuracy": shares})
    assert steps_to_half(curve, whole) == steps


def test_the_area_is_the_mean_over_the_steps_in_units_of_the_base_model():
    """By hand: (0.2 + 0.6 + 1.0) / 3 = 0.6 of 30 samples; Wilson's interval of 18 of 30; ÷ 0.8."""
    curve = pd.DataFrame({"step": [0, 1, 2, 3], "forget_accuracy": [0.9, 0.2, 0.6, 1.0]})
    found = area_under(curve, 0.8, 10, 0.95)
    assert found == pytest.approx({"value": 0.75, "low": 0.423 / 0.8, "high": 0.754 / 0.8}, abs=1e-3)
    assert area_under(curve, 0.0, 10, 0.95) is None
