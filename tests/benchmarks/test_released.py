import numpy as np
import pytest

import released
from erasediff_pipeline.hashing import hash_weights
from tests.helpers.by_hand import flat


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


def test_it_evaluates_what_the_shape_says(passes):
    """Two evaluations for a forget loss, one more for a retain loss, each of a batch."""
    model, _ = passes(INNER=3, OUTER=2)
    assert model.evaluations == 2 * 8 * (3 * 2 + 2 * 3)


def test_outer_steps_stay_and_moments_leak_into_them_from_the_inner_ones(passes, unet_model):
    """One Adam for both, as in the released code."""
    without, _ = passes(INNER=0, OUTER=1, PASSES=1)
    assert hash_weights(without) != hash_weights(unet_model())
    with_inner, _ = passes(INNER=2, OUTER=1, PASSES=1)
    first, second = (flat(p.detach() for p in model.parameters()) for model in (without, with_inner))
    assert not np.allclose(first, second, atol=1e-6)
