import numpy as np
import pytest

import released
from erasediff_pipeline.hashing import hash_weights
from erasediff_pipeline.training.method import TrainingData


@pytest.fixture
def data(toy_images):
    chosen = toy_images.labels == 0
    return TrainingData(retain=toy_images.select(~chosen), forget=toy_images.select(chosen))


@pytest.fixture
def passes(unet_model, data, monkeypatch):
    """Model and seconds after all passes of a shape."""

    def take(**shape):
        for name, value in {"BATCH_SIZE": 8, "PASSES": 2, **shape}.items():
            monkeypatch.setattr(released, name, value)
        model = unet_model()
        return model, list(released.released_passes(model, data))

    return take


def test_inner_steps_are_undone(passes, unet_model):
    model, seconds = passes(INNER=2, OUTER=0)
    assert hash_weights(model) == hash_weights(unet_model())
    assert len(seconds) == 2
    assert min(seconds) > 0


def test_outer_steps_stay(passes, unet_model):
    model, _ = passes(INNER=0, OUTER=1)
    assert hash_weights(model) != hash_weights(unet_model())


def test_it_evaluates_what_the_shape_says(passes):
    """Two evaluations for a forget loss, one more for a retain loss, each of a batch."""
    model, _ = passes(INNER=3, OUTER=2)
    assert model.evaluations == 2 * 8 * (3 * 2 + 2 * 3)


def test_its_moments_leak_from_the_inner_into_the_outer_steps(passes):
    """One Adam for both, as in the released code."""
    without, _ = passes(INNER=0, OUTER=1, PASSES=1)
    with_inner, _ = passes(INNER=2, OUTER=1, PASSES=1)
    first, second = (
        np.concatenate([p.detach().numpy().ravel() for p in m.parameters()]) for m in (without, with_inner)
    )
    assert not np.allclose(first, second, atol=1e-6)
