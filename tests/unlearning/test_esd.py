import pytest
import torch

from tests.helpers.by_hand import DATA, NULL, Step, Weights, assert_update, flat, push
from tests.helpers.runs import prepared


def step_of(model, alpha_bar, seed=0, pushed=False, **settings):
    """A step, and what the base model was."""
    method, base = prepared("esd", model, DATA, **{"retain_weight": 0.0, **settings}), Weights(model)
    if pushed:
        push(model)
    return Step(model, method, alpha_bar, seed), base


def target_by_hand(base, step, eta):
    """ε*(∅) − η·(ε*(c_f) − ε*(∅))."""
    n = len(step.forget.x_t)
    unconditional = base.predict(step.forget.x_t, [NULL] * n)
    return unconditional - eta * (base.predict(step.forget.x_t, [0] * n) - unconditional)


@pytest.mark.parametrize("eta", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("pushed", [False, True])
def test_update_leads_away_from_what_the_base_model_says(linear_model, alpha_bar, eta, pushed):
    """The base model stays where it was while the model moves."""
    for seed in range(5):
        step, base = step_of(linear_model(seed), alpha_bar, seed, pushed, negative_guidance=eta)
        loss, gradient = step.forget_loss(target_by_hand(base, step, eta))
        assert step.forget.c.tolist() == [0] * 4
        assert_update(step, gradient)
        assert step.scalars == {"forget_loss": pytest.approx(loss, rel=1e-4)}


@pytest.mark.parametrize("beta", [0.3, 2.0])
def test_retain_term_adds_the_denoising_gradient(linear_model, alpha_bar, beta):
    for seed in range(5):
        step, base = step_of(linear_model(seed), alpha_bar, seed, pushed=True, retain_weight=beta)
        _, g_forget = step.forget_loss(target_by_hand(base, step, 1.0))
        retain_loss, g_retain = step.retain_loss()
        assert_update(step, g_forget + beta * g_retain)
        assert step.scalars["retain_loss"] == pytest.approx(retain_loss, rel=1e-4)


def test_without_retain_term_the_retain_batch_is_not_read(linear_model, alpha_bar):
    model = linear_model()
    step, _ = step_of(model, alpha_bar)
    assert step.retain is None
    assert (model.bias.grad[1:] == 0).all()
    assert model.bias.grad[0].abs().min() > 0


def test_both_models_see_the_same_noised_forget_images(linear_model, alpha_bar):
    model = linear_model()
    method = prepared("esd", model, DATA, retain_weight=0.0)
    step = Step(model, method, alpha_bar)
    (x0,) = step.noised
    assert torch.equal(x0, step.forget_x0)
    for call, c in zip(method.base.calls, (NULL, 0), strict=True):
        assert torch.equal(call.x_t, step.forget.x_t)
        assert torch.equal(call.t, step.forget.t)
        assert call.c.tolist() == [c] * 4
        assert not call.grad


def test_more_guidance_leads_further_away(linear_model, alpha_bar):
    none, one, two = (
        step_of(linear_model(), alpha_bar, negative_guidance=eta)[0].update for eta in (0.0, 1.0, 2.0)
    )
    assert flat([two - none]) == pytest.approx(2 * (one - none), abs=1e-4)
