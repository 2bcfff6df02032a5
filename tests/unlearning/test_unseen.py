import numpy as np
import pytest
import torch

from erasediff_pipeline.diffusion.objective import noise_batch
from erasediff_pipeline.unlearning.unseen import LEVELS, as_unseen, draw_times, unseen_factors
from tests.helpers.by_hand import batches, generator, images_of

SEED, BATCH = 0, 50


def predicts_nothing_but(linear_model, bias):
    """ε(x_t, t, c) = b_c, so that its denoising loss is 1 + b_c²."""
    model = linear_model().requires_grad_(False)
    model.weight.zero_()
    model.bias.copy_(torch.tensor(bias)[:, None].expand_as(model.bias))
    return model


@pytest.mark.parametrize(("unseen", "expected"), [(2.0, 5**0.5), (0.0, 1.0)])
def test_the_factor_is_the_root_of_the_ratio_of_the_losses(linear_model, unseen, expected):
    """It is never below 1, not even where unseen images have the lower loss."""
    model = predicts_nothing_but(linear_model, [0.0, unseen, 1.0, 0.0])
    seen_label = 0 if unseen else 2
    images = images_of([seen_label] * 2500), images_of([1] * 2500)
    factors = unseen_factors(model, *images, SEED, BATCH)
    np.testing.assert_allclose(factors, [expected] * LEVELS, rtol=0.05)
    assert max(len(call.x_t) for call in model.calls) == BATCH
    assert model.evaluations == 2 * 2048 * LEVELS


def test_each_level_measures_its_own_timesteps(toy_model):
    """A model that fails on unseen images (bright ones) only in the second level."""

    def predict(model, x_t, t, c):
        return (((t >= 25) & (t < 50) & (c == 1)) * 3.0).view(-1, 1, 1, 1).expand_as(x_t)

    model = toy_model(predict)
    images = [images_of([label] * 100, shape=(1, 8, 8)) for label in (0, 1)]
    factors = unseen_factors(model, *images, SEED, BATCH)
    np.testing.assert_allclose(factors, [1, 10**0.5, *[1] * (LEVELS - 2)], rtol=0.05)


def test_timesteps_are_drawn_where_the_model_knows_its_images():
    """Of levels with s − 1 of 0.01 and 0.02, the second has four times the chance; few are elsewhere."""
    factors = torch.ones(LEVELS)
    factors[2], factors[5] = 1.01, 1.02
    t = draw_times(factors, 20_000, torch.arange(1000), generator())
    counts = torch.bincount(t * LEVELS // 1000, minlength=LEVELS)
    assert counts[5] / counts[2] == pytest.approx(4, rel=0.1)
    assert 0 < counts.sum() - counts[2] - counts[5] < 0.1 * 20_000
    of_level = t[t * LEVELS // 1000 == 5]
    assert (of_level.min(), of_level.max()) == (125, 149)
    assert torch.bincount(of_level - 125).min() > 0.8 * len(of_level) / 25


def test_a_model_that_knows_nothing_by_heart_gets_every_timestep():
    t = draw_times(torch.ones(LEVELS), 20_000, torch.arange(1000), generator())
    counts = torch.bincount(t, minlength=1000)
    assert (t.min(), t.max()) == (0, 999)
    assert counts.float().mean() == 20
    assert draw_times(torch.ones(LEVELS), 50, torch.arange(10), generator()).max() < 10


def test_the_target_scales_the_error_of_the_base_model(linear_model):
    """(target − ε) = s·(ε_base − ε), s of the timestep; s = 1 leaves the base model's prediction."""
    model, batch = linear_model(), batches(0, forget_size=200)[0]
    noised, factors = noise_batch(model, batch.x0, generator()), 1 + torch.arange(LEVELS) / LEVELS
    base = model.denoise(noised.x_t, noised.t, batch.labels).detach()
    target = as_unseen(model, noised, batch.labels, factors).target
    assert not target.requires_grad
    s = 1 + noised.t // (1000 // LEVELS) / LEVELS
    torch.testing.assert_close(target - noised.target, s.view(-1, 1, 1, 1) * (base - noised.target))
    torch.testing.assert_close(as_unseen(model, noised, batch.labels, torch.ones(LEVELS)).target, base)
