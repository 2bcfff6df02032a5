import numpy as np
import pytest
import torch

from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.random_label import RandomLabel, RandomLabelSettings
from tests.helpers.by_hand import RETAINED, Step, assert_update, images_of

AIMS = ["prediction", "image"]


def prepared(model, retained=RETAINED, forgotten=(0, 0), **settings):
    method = RandomLabel(RandomLabelSettings(**settings))
    data = TrainingData(retain=images_of(retained), forget=images_of(list(forgotten)))
    method.prepare(model, data, FeatureStore(), seed=0)
    return method


def drawn_labels(step, aim):
    """c′ of each forget image."""
    if aim == "image":
        assert step.aims == []
        return step.forget.c
    (call,) = step.aims
    assert torch.equal(call.x_t, step.forget.x_t)
    assert torch.equal(call.t, step.forget.t)
    return call.c


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_update_pulls_the_forgotten_condition_to_what_the_retained_ones_predict(
    linear_model, alpha_bar, beta
):
    for seed in range(5):
        model = linear_model(seed)
        step = Step(model, prepared(model, aim="prediction", retain_weight=beta), alpha_bar, seed)
        target = step.weights.predict(step.forget.x_t, drawn_labels(step, "prediction"))
        (retain_loss, g_retain), (forget_loss, g_forget) = step.retain_loss(), step.forget_loss(target)
        assert step.forget.c.tolist() == [0] * 4
        assert_update(step, g_forget + beta * g_retain)
        assert step.scalars == {
            "retain_loss": pytest.approx(retain_loss, rel=1e-4),
            "forget_loss": pytest.approx(forget_loss, rel=1e-4),
        }


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_update_denoises_forget_images_under_retained_labels(linear_model, alpha_bar, beta):
    for seed in range(5):
        model = linear_model(seed)
        step = Step(model, prepared(model, aim="image", retain_weight=beta), alpha_bar, seed)
        (retain_loss, g_retain), (forget_loss, g_forget) = step.retain_loss(), step.forget_loss()
        assert_update(step, g_forget + beta * g_retain)
        assert step.scalars == {
            "retain_loss": pytest.approx(retain_loss, rel=1e-4),
            "forget_loss": pytest.approx(forget_loss, rel=1e-4),
        }


def test_the_retained_condition_is_a_fixed_target(linear_model, alpha_bar):
    """sg: under β = 0 neither it nor the null condition gets a gradient, only the forgotten one does."""
    model = linear_model()
    Step(model, prepared(model, aim="prediction", retain_weight=0), alpha_bar)
    assert model.bias.grad[0].abs().min() > 0
    assert (model.bias.grad[1:] == 0).all()


@pytest.mark.parametrize("aim", AIMS)
@pytest.mark.parametrize("retained", [RETAINED, [0, 1, 2]])
def test_labels_are_drawn_anew_from_the_retained_ones_and_never_the_own(
    linear_model, alpha_bar, aim, retained
):
    """By classes, and by ids, where the own class is retained."""
    model = linear_model()
    method = prepared(model, retained, aim=aim)
    drawn = [drawn_labels(Step(model, method, alpha_bar, seed), aim).tolist() for seed in range(60)]
    share = np.mean(np.array(drawn) == 1)
    assert set(np.ravel(drawn)) == {1, 2}
    assert 0.4 < share < 0.6
    assert len({tuple(each) for each in drawn}) > 8


@pytest.mark.parametrize(("aim", "evaluations"), [("prediction", 6 + 2 * 4), ("image", 6 + 4)])
def test_cost_of_an_update(linear_model, alpha_bar, aim, evaluations):
    model = linear_model()
    Step(model, prepared(model, aim=aim), alpha_bar)
    assert model.evaluations == evaluations


@pytest.mark.parametrize("aim", AIMS)
def test_no_other_class_is_refused(linear_model, aim):
    with pytest.raises(InvalidRequest, match="random_label needs a retained class other than"):
        prepared(linear_model(), retained=[1, 1], forgotten=[1], aim=aim)
