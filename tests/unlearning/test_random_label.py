import numpy as np
import pytest
import torch

from erasediff_pipeline.training.method import TrainingData
from tests.helpers.by_hand import DATA, RETAINED, Step, assert_update, images_of
from tests.helpers.runs import prepared

AIMS = ["prediction", "image"]


def drawn_labels(step, aim):
    """c′ of each forget image."""
    if aim == "image":
        assert step.aims == []
        return step.forget.c
    (call,) = step.aims
    assert torch.equal(call.x_t, step.forget.x_t)
    assert torch.equal(call.t, step.forget.t)
    assert step.forget.c.tolist() == [0] * 4
    return call.c


@pytest.mark.parametrize("aim", AIMS)
@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_update_predicts_or_denoises_as_under_retained_conditions(linear_model, alpha_bar, aim, beta):
    """The retained condition is a fixed target: no gradient flows through its prediction."""
    for seed in range(5):
        model = linear_model(seed)
        method = prepared("random_label", model, DATA, aim=aim, retain_weight=beta)
        step = Step(model, method, alpha_bar, seed)
        labels, target = drawn_labels(step, aim), None
        if aim == "prediction":
            target = step.weights.predict(step.forget.x_t, labels)
        (retain_loss, g_retain), (forget_loss, g_forget) = step.retain_loss(), step.forget_loss(target)
        assert_update(step, g_forget + beta * g_retain)
        losses = {"retain_loss": retain_loss, "forget_loss": forget_loss}
        assert step.scalars == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize("aim", AIMS)
@pytest.mark.parametrize("retained", [RETAINED, [0, 1, 2]])
def test_labels_are_drawn_anew_from_retained_ones_but_the_own(linear_model, alpha_bar, aim, retained):
    """At each step; by classes, and by ids, where the own class is retained."""
    model = linear_model()
    data = TrainingData(retain=images_of(retained), forget=images_of([0, 0]))
    method = prepared("random_label", model, data, aim=aim)
    drawn = [drawn_labels(Step(model, method, alpha_bar, seed), aim).tolist() for seed in range(60)]
    assert set(np.ravel(drawn)) == {1, 2}
    assert 0.4 < np.mean(np.array(drawn) == 1) < 0.6
    assert len({tuple(each) for each in drawn}) > 8
