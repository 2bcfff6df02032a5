import numpy as np
import pytest
import torch

from erasediff_pipeline.diffusion.objective import noise_batch
from erasediff_pipeline.unlearning import fisher as module
from erasediff_pipeline.unlearning.fisher import estimate_fisher, squared_gradients
from tests.helpers.by_hand import generator, images_of
from tests.helpers.runs import weights_of


def one_by_one(model, subset, noised, c):
    """Σ over images of the squared gradient of the image's own loss, by plain autograd."""
    chosen = model.trainable(subset)
    total = {name: torch.zeros_like(p) for name, p in chosen.items()}
    for i in range(len(c)):
        prediction = model.denoise(noised.x_t[i : i + 1], noised.t[i : i + 1], c[i : i + 1])
        loss = ((prediction - noised.target[i : i + 1]) ** 2).mean()
        for name, gradient in zip(chosen, torch.autograd.grad(loss, list(chosen.values())), strict=True):
            total[name] += gradient**2
    return total


@pytest.mark.parametrize("subset", ["full", "selfattn", "class_embedding"])
def test_squares_are_those_of_one_image_at_a_time(unet_model, toy_images, subset):
    """Each image is one evaluation, and the model is left alone."""
    model = unet_model()
    before = weights_of(model)
    pixels, labels = toy_images.tensors(slice(0, 5))
    noised, c = noise_batch(model, model.encode(pixels), generator()), model.condition(labels)
    squares = squared_gradients(model, subset, noised, c)
    assert model.evaluations == 5
    assert weights_of(model) == before
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    expected = one_by_one(model, subset, noised, c)
    assert list(squares) == list(expected)
    for name, square in squares.items():
        torch.testing.assert_close(square, expected[name], rtol=1e-3, atol=1e-12)
    assert max(float(square.max()) for square in expected.values()) > 1e-4


def exact_fisher(model, images, alpha_bar):
    """The expectation over images and timesteps by enumeration, over noise in closed form.

    With s = √(1 − ᾱ) and a = √ᾱ the residual r = W·x_t + b_c − ε = (s·W − I)·ε + a·W·x0 + b_c and
    x_t = a·x0 + s·ε are Gaussian, and ∂ℓ/∂b_i = 2/D·r_i, ∂ℓ/∂W_ij = 2/D·r_i·x_j. For Gaussian r, x:
    E[r²x²] = E[r²]·E[x²] + 4·E[r]·E[x]·Cov + 2·Cov². F is the sum over the timesteps, times D.
    """
    weight, bias = (p.detach().double().numpy() for p in (model.weight, model.bias))
    size = len(weight)
    fisher_weight, fisher_bias = np.zeros_like(weight), np.zeros_like(bias)
    share = size * (2 / size) ** 2 / len(images)
    for pixels, label in zip(images.images, images.labels, strict=True):
        x0 = pixels.ravel() / 127.5 - 1
        for a_bar in alpha_bar:
            s, a = np.sqrt(1 - a_bar), np.sqrt(a_bar)
            spread = s * weight - np.eye(size)
            mean_r, mean_x = a * weight @ x0 + bias[label], a * x0
            square_r = mean_r**2 + (spread**2).sum(axis=1)
            covariance = s * spread
            fisher_bias[label] += share * square_r
            fisher_weight += share * (
                np.outer(square_r, mean_x**2 + s**2)
                + 4 * np.outer(mean_r, mean_x) * covariance
                + 2 * covariance**2
            )
    return {"weight": fisher_weight, "bias": fisher_bias}


@pytest.mark.parametrize(("batches", "size"), [(20, 10_000), (2, 50_000), (100, 1000)])
def test_estimate_is_the_expectation_over_images_timesteps_and_noise(linear_model, batches, size):
    """200,000 draws leave an error of about half a percent of each entry."""
    model = linear_model(num_train_timesteps=4, beta_start=0.1, beta_end=0.6)
    images = images_of([0, 0, 0, 1, 1, 2, 2, 2])
    fisher = estimate_fisher(model, "full", images, batches, size, seed=0)
    expected = exact_fisher(model, images, np.cumprod(1 - np.linspace(0.1, 0.6, 4)))
    for name, exact in expected.items():
        np.testing.assert_allclose(fisher[name].numpy(), exact, rtol=0.03)
    assert (expected["bias"][3] == 0).all()
    assert (expected["bias"][:3] > 0).all()


@pytest.mark.parametrize("options", [{"parts": 2}, {"parts": 9}, {"one_by_one": True}])
def test_estimate_in_parts_is_that_of_whole_batches(unet_model, toy_images, options):
    """Five images in two parts, in more parts than there are images, and each by plain autograd."""
    sets = ({}, options)
    whole, parted = (estimate_fisher(unet_model().eval(), "full", toy_images, 3, 5, 0, **o) for o in sets)
    for name, fisher in whole.items():
        torch.testing.assert_close(parted[name], fisher, rtol=1e-3, atol=1e-4)
    assert max(float(fisher.max()) for fisher in whole.values()) > 10


def test_no_more_than_a_part_has_gradients_at_a_time_and_every_image_counts(linear_model, monkeypatch):
    """Batches that together are as many as the set hold each image once."""
    sizes = []

    def watched(model, subset, noised, c):
        sizes.append(len(c))
        return squared_gradients(model, subset, noised, c)

    monkeypatch.setattr(module, "squared_gradients", watched)
    model, images = linear_model(), images_of([0] * 10)
    estimate_fisher(model, "full", images, batches=2, batch_size=5, seed=0, parts=2)
    assert sizes == [3, 2] * 2
    seen = torch.cat(model.noised).flatten(1)
    expected = model.encode(torch.from_numpy(images.images)).flatten(1)
    assert sorted(seen.tolist()) == sorted(expected.tolist())
    model.calls.clear()
    estimate_fisher(model, "full", images, batches=2, batch_size=5, seed=0, one_by_one=True)
    assert [len(call.x_t) for call in model.calls] == [1] * 10


def test_estimate_works_on_the_real_model(unet_model, toy_images):
    model = unet_model().eval()
    fisher = estimate_fisher(model, "full", toy_images, batches=2, batch_size=6, seed=0)
    shapes, expected = ({n: p.shape for n, p in each.items()} for each in (fisher, model.trainable("full")))
    assert shapes == expected
    assert all(f.isfinite().all() and (f >= 0).all() and not f.requires_grad for f in fisher.values())
    assert np.mean([float((f > 0).float().mean()) for f in fisher.values()]) > 0.95
    assert (fisher["class_embedding.weight"][3] == 0).all()  # no image is under the null condition
    assert model.evaluations == 12
    assert not model.training


def test_same_seed_same_estimate_whatever_the_global_generator(unet_model, toy_images):
    """Of one image, so that the seed rules timesteps and noise, not only the order."""
    image, estimates = toy_images.select(slice(0, 1)), []
    for state, seed in ((1, 0), (2, 0), (1, 5)):
        torch.manual_seed(state)
        estimates.append(estimate_fisher(unet_model().eval(), "selfattn", image, 2, 4, seed))
    first, same, other = ([f.numpy().tobytes() for f in e.values()] for e in estimates)
    assert first == same
    assert first != other
