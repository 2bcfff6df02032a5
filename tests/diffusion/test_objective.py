import pytest
import torch

from erasediff_pipeline.diffusion.objective import denoising_loss, drop_condition, noise_batch
from tests.helpers.by_hand import generator


@pytest.fixture(scope="module")
def zero_model(toy_model):
    return toy_model(lambda model, x_t, t, c: torch.zeros_like(x_t))


def test_noised_batch_is_equation_4(zero_model, alpha_bar):
    x0 = torch.randn(64, 1, 8, 8)
    noised = noise_batch(zero_model, x0, generator())
    a = alpha_bar[noised.t].view(-1, 1, 1, 1)
    expected = a.sqrt() * x0.double() + (1 - a).sqrt() * noised.target.double()
    torch.testing.assert_close(noised.x_t.double(), expected, atol=1e-5, rtol=1e-5)


def test_noise_is_standard_normal(zero_model):
    eps = noise_batch(zero_model, torch.zeros(2000, 1, 8, 8), generator()).target
    assert abs(float(eps.mean())) < 0.01
    assert float(eps.std()) == pytest.approx(1, abs=0.01)


def test_timesteps_are_uniform_over_all(toy_model):
    model = toy_model(lambda model, x_t, t, c: x_t, shape=(1, 1, 1), num_train_timesteps=10)
    t = noise_batch(model, torch.zeros(20_000, 1, 1, 1), generator()).t
    counts = torch.bincount(t, minlength=10)
    assert len(counts) == 10
    assert counts.min() > 1800
    assert counts.max() < 2200


def test_same_generator_same_noise(zero_model):
    x0 = torch.randn(4, 1, 8, 8)
    first, second = (noise_batch(zero_model, x0, generator(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_loss_is_zero_for_the_right_prediction_and_one_for_none(toy_model, zero_model, alpha_bar):
    x0 = torch.full((500, 1, 8, 8), 0.3)

    def exact(model, x_t, t, c):
        a = alpha_bar[t].view(-1, 1, 1, 1)
        return ((x_t - a.sqrt() * 0.3) / (1 - a).sqrt()).float()

    c = torch.zeros(500, dtype=torch.int64)
    noised = noise_batch(zero_model, x0, generator())
    assert float(denoising_loss(toy_model(exact), noised, c)) == pytest.approx(0, abs=1e-8)
    assert float(denoising_loss(zero_model, noised, c)) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
def test_condition_is_dropped_at_its_rate(zero_model, probability):
    c = torch.arange(30_000) % 3
    kept = drop_condition(zero_model, zero_model.condition(c), probability, generator())["label"]
    dropped = kept == 3
    assert float(dropped.float().mean()) == pytest.approx(probability, abs=0.01)
    assert torch.equal(kept[~dropped], c[~dropped])
