import pytest

from tests.helpers.by_hand import DATA, Step, assert_update
from tests.helpers.runs import prepared


def step_of(model, alpha_bar, beta, seed=0, **settings):
    return Step(model, prepared("neggrad", model, DATA, retain_weight=beta, **settings), alpha_bar, seed)


@pytest.mark.parametrize("beta", [0.3, 0.95])
def test_update_descends_the_retain_loss_and_ascends_the_forget_loss(linear_model, alpha_bar, beta):
    for seed in range(5):
        step = step_of(linear_model(seed), alpha_bar, beta, seed)
        (retain_loss, g_retain), (forget_loss, g_forget) = step.retain_loss(), step.forget_loss()
        assert_update(step, beta * g_retain - (1 - beta) * g_forget)
        losses = {"retain_loss": retain_loss, "forget_loss": forget_loss}
        assert step.scalars == pytest.approx(losses, rel=1e-4)


def test_without_a_retain_weight_it_is_ascent_alone(linear_model, alpha_bar):
    """To first order it raises the forget loss, whatever the batch."""
    for seed in range(20):
        step = step_of(linear_model(seed), alpha_bar, 0.0, seed)
        forget_loss, g_forget = step.forget_loss()
        assert_update(step, -g_forget)
        assert step.scalars == {"forget_loss": pytest.approx(forget_loss, rel=1e-4)}
        step.weights = step.weights.moved(-1e-3 * step.update)
        assert step.forget_loss()[0] > forget_loss


def test_each_image_is_under_its_own_label(linear_model, alpha_bar):
    step = step_of(linear_model(), alpha_bar, 0.5, condition_dropout=0.0)
    assert step.forget.c.tolist() == [0] * 4
    assert step.retain.c.tolist() == [1, 2] * 3
