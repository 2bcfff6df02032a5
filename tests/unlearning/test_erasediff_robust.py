import numpy as np
import pytest
import torch
from tensordict import TensorDict

from erasediff_pipeline.diffusion.objective import Noised
from tests.helpers.by_hand import DATA, RETAINED, batches, flat, generator
from tests.helpers.runs import prepared, weights_of


def build(model, **settings):
    return prepared("erasediff_robust", model, DATA, **settings)


def shifts(method, model, forget, seed):
    """How far from the forgotten condition each image's embedding is: W·x + e is e where x = 0."""
    predict = method.predictor(model, forget, generator(seed))
    zero = torch.zeros_like(forget.x0)
    with torch.no_grad():
        return predict(model, Noised(zero, torch.zeros(len(zero)), zero)).flatten(1) - model.bias[0]


def test_reach_is_the_spread_of_the_retained_conditions(linear_model):
    model = linear_model()
    expected = model.bias[RETAINED].detach().numpy().std(axis=0)
    np.testing.assert_allclose(build(model).spread["table 0"].numpy(), expected, rtol=1e-6)


def test_embeddings_are_drawn_around_the_forgotten_one(linear_model):
    """u·σ·s∘z: E[(u·z)²] = 1/3, and further than σ·s·z never."""
    model = linear_model()
    method = build(model, radius=2.0, attack_steps=0)
    forget, _ = batches(0)
    drawn = torch.cat([shifts(method, model, forget, seed) for seed in range(500)])
    drawn = drawn / (2.0 * method.spread["table 0"])
    assert drawn.mean().item() == pytest.approx(0, abs=0.03)
    assert drawn.square().mean().item() == pytest.approx(1 / 3, rel=0.05)
    assert len({tuple(row.tolist()) for row in drawn}) == len(drawn)


def test_without_reach_it_is_erasediff(linear_model):
    gradients = []
    for name, settings in (("erasediff", {}), ("erasediff_robust", {"radius": 1e-9, "attack_steps": 0})):
        model = linear_model()
        method = prepared(name, model, DATA, control="grad_norm", **settings)
        method.gradients(model, *batches(0), generator())
        gradients.append(flat([p.grad for p in model.parameters()]))
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-6)


@pytest.mark.parametrize("steps", [1, 3])
def test_attack_steps_down_the_denoising_loss(linear_model, alpha_bar, steps):
    """By hand: with residuals r the loss is mean r², its slope in e the mean of 2r."""
    model = linear_model()
    method = build(model, radius=1.5, attack_steps=steps)
    forget, _ = batches(0)
    none = TensorDict({"table 0": torch.zeros(len(forget.x0), 4)}, [len(forget.x0)])
    found = method.attack(model, forget, model.condition(forget.labels), none, generator(5))["table 0"]

    g = generator(5)
    t = torch.randint(0, 1000, (len(forget.x0),), generator=g)
    eps = torch.randn(forget.x0.shape, generator=g).double()
    a = alpha_bar[t].view(-1, 1, 1, 1)
    x_t = (a.sqrt() * forget.x0.double() + (1 - a).sqrt() * eps).flatten(1).numpy()
    weight, bias = (p.detach().double().numpy() for p in (model.weight, model.bias))
    delta, losses = np.zeros(4), []
    for _ in range(steps):
        residual = x_t @ weight.T + bias[0] + delta - eps.flatten(1).numpy()
        losses.append((residual**2).mean())
        delta -= 1.5 * method.spread["table 0"].double().numpy() / steps * np.sign(residual.mean(axis=0))
    np.testing.assert_allclose(found.numpy(), delta, rtol=1e-5)
    assert losses == sorted(losses, reverse=True)


def test_attack_is_part_of_what_is_asked(linear_model):
    """One shift for the batch, beside the drawn ones, which are the same with and without it."""
    model = linear_model()
    forget, _ = batches(0)
    without = shifts(build(model, radius=1.0, attack_steps=0), model, forget, 3)
    beside = shifts(build(model, radius=1.0, attack_steps=2), model, forget, 3) - without
    assert beside.abs().max() > 0.1
    np.testing.assert_allclose(beside.numpy(), np.repeat(beside[:1].numpy(), len(beside), 0), atol=1e-6)


def test_attack_leaves_the_weights_alone(linear_model):
    model = linear_model()
    before = weights_of(model)
    build(model, attack_steps=3).predictor(model, batches(0)[0], generator())
    assert weights_of(model) == before
    assert all(p.grad is None for p in model.parameters())
