import pytest
import torch

from tests.helpers.by_hand import DATA, NULL, Step, Weights, assert_update, push
from tests.helpers.runs import prepared


def step_of(model, alpha_bar, seed=0, pushed=False, **settings):
    """A step, and what the base model was."""
    method, base = prepared("esd", model, DATA, **settings), Weights(model)
    if pushed:
        push(model)
    return Step(model, method, alpha_bar, seed), base


def target_by_hand(base, step, eta):
    """ε*(∅) − η·(ε*(c_f) − ε*(∅))."""
    n = len(step.forget.x_t)
    unconditional = base.predict(step.forget.x_t, [NULL] * n)
    return unconditional - eta * (base.predict(step.forget.x_t, [0] * n) - unconditional)


@pytest.mark.parametrize(("eta", "beta"), [(0.0, 0.0), (1.0, 0.0), (2.5, 0.0), (1.0, 0.3), (1.0, 2.0)])
@pytest.mark.parametrize("pushed", [False, True])
def test_update_leads_away_from_what_the_base_model_says(linear_model, alpha_bar, eta, beta, pushed):
    """The base model stays where it was while the model moves."""
    for seed in range(5):
        options = {"negative_guidance": eta, "retain_weight": beta}
        step, base = step_of(linear_model(seed), alpha_bar, seed, pushed, **options)
        loss, gradient = step.forget_loss(target_by_hand(base, step, eta))
        losses = {"forget_loss": loss}
        if beta:
            losses["retain_loss"], g_retain = step.retain_loss()
            gradient += beta * g_retain
        assert step.forget.c.tolist() == [0] * 4
        assert_update(step, gradient)
        assert step.scalars == pytest.approx(losses, rel=1e-4)


def test_both_models_see_the_same_noised_forget_images_and_nothing_else(linear_model, alpha_bar):
    """Without a retain term."""
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
    assert step.retain is None
