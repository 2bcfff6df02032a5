import pandas as pd
import pytest
import torch

from erasediff_pipeline.audits.relearning import relearn, steps_to_half
from erasediff_pipeline.config import RelearningSettings

SETTINGS = RelearningSettings(steps=5, images=12, batch_size=8, learning_rate=0.01)


def test_it_is_measured_after_powers_of_two_and_at_the_end(linear_model, toy_images):
    model = linear_model(shape=(1, 8, 8))
    seen = []

    def measure(pupil):
        seen.append(pupil.bias.detach().clone())
        return len(seen) / 10

    curve = relearn(model, toy_images, measure, SETTINGS, 0)
    assert curve["step"].tolist() == [0, 1, 2, 4, 5]
    assert curve["forget_accuracy"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert torch.equal(seen[0], model.bias)
    assert not torch.equal(seen[1], seen[0])


def test_one_that_is_stopped_loses_no_point(linear_model, toy_images):
    """A checkpoint would bring the weights back, and not what was measured on the way to them."""
    settings = SETTINGS.model_copy(update={"checkpoint_every": 1})

    seen = []

    def stop(pupil):
        seen.append(pupil)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return 0.0

    model = linear_model(shape=(1, 8, 8))
    with pytest.raises(KeyboardInterrupt):
        relearn(model, toy_images, stop, settings, 0)
    curve = relearn(model, toy_images, lambda pupil: 0.0, settings, 0)
    assert curve["step"].tolist() == [0, 1, 2, 4, 5]


def test_the_model_stays_as_it_is(linear_model, toy_images):
    model = linear_model(shape=(1, 8, 8))
    before = [p.clone() for p in model.parameters()]
    relearn(model, toy_images, lambda pupil: 0.0, SETTINGS, 0)
    assert all(torch.equal(one, two) for one, two in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("draws", [1, 7])
def test_measuring_does_not_change_what_is_learnt(linear_model, toy_images, draws):
    """Whatever a look draws from the global generator, and although it switches training off."""
    last = []

    def measure(pupil):
        last.append(pupil.eval().bias.detach().clone())
        return float(torch.rand(draws).mean())

    relearn(linear_model(shape=(1, 8, 8)), toy_images, measure, SETTINGS, 0)
    quiet = []
    relearn(
        linear_model(shape=(1, 8, 8)),
        toy_images,
        lambda pupil: quiet.append(pupil.bias.detach().clone()) or 0.0,
        SETTINGS,
        0,
    )
    assert torch.equal(last[-1], quiet[-1])


def test_it_is_taught_with_so_many_images(linear_model, toy_images):
    """One image of class 2: no other condition's bias moves."""
    model = linear_model(shape=(1, 8, 8))
    settings = SETTINGS.model_copy(update={"images": 1, "condition_dropout": 0.0})
    last = []
    first = toy_images.select(toy_images.labels == 2)
    relearn(
        model,
        first.join(toy_images),
        lambda pupil: last.append(pupil.bias.clone()) or 0.0,
        settings,
        0,
    )
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
