import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

from erasediff_pipeline.diffusion.objective import noise_batch
from erasediff_pipeline.training.losses import indifference, training_loss
from erasediff_pipeline.training.method import TrainingData
from tests.helpers.by_hand import NULL, Weights, batches, flat, generator
from tests.helpers.runs import STEPPED, run, weights_of


def gradient_of(model, loss):
    return flat(torch.autograd.grad(loss, list(model.trainable("full").values()), allow_unused=False))


def test_indifference_is_the_distance_to_the_null_prediction(linear_model):
    """Under one input the predictions differ by b_c − b_∅ alone; the gradient of the latter is stopped."""
    model = linear_model()
    x0, c = batches(0)[1].x0, torch.tensor([0, 1, 2, 0, 1, 2])
    loss = indifference(model, x0, c, generator())
    weights = Weights(model)
    gap = weights.bias[c.numpy()] - weights.bias[NULL]
    assert loss.item() == pytest.approx((gap**2).mean(), rel=1e-5)

    assert len({call.x_t.numpy().tobytes() for call in model.calls}) == 1
    asked = model.calls[0]._replace(c=c)
    _, expected = weights.solve(asked, weights.predict(asked.x_t, [NULL] * 6))
    np.testing.assert_allclose(gradient_of(model, loss), expected, atol=1e-5)


def test_a_condition_that_says_nothing_costs_nothing(linear_model):
    model = linear_model()
    model.bias.data[1] = model.bias.data[NULL]
    assert indifference(model, batches(0)[1].x0, torch.ones(6, dtype=torch.int64), generator()) == 0


def test_the_retain_loss_holds_what_was_forgotten_before(linear_model):
    model, (_, retain) = linear_model(), batches(0)
    g, zeros = generator(), torch.zeros(6, dtype=torch.int64)
    plain = training_loss(model, retain, 0.5, g)
    held = indifference(model, retain.x0, zeros, g)
    both = training_loss(model, retain._replace(forgotten_before=zeros), 0.5, generator())
    assert both.item() == pytest.approx((plain + held).item(), rel=1e-6)
    assert held > 0.05


def test_a_teacher_says_what_forgotten_conditions_draw_instead(linear_model):
    """Under one input the predictions differ by b_c − b_i alone."""
    model, (_, retain) = linear_model(), batches(0)
    before, instead = torch.zeros(6, dtype=torch.int64), torch.full((6,), 2)
    held = retain._replace(forgotten_before=before)
    loss = training_loss(model, held, 0.0, generator(), copy.deepcopy(model), instead)
    bias = Weights(model).bias
    assert loss.item() == pytest.approx(((bias[0] - bias[2]) ** 2).mean(), rel=1e-5)
    assert training_loss(model, held, 0.0, generator(), copy.deepcopy(model), before).item() == 0


def test_a_model_that_is_its_own_teacher_has_nothing_to_learn(linear_model):
    model, (_, retain) = linear_model(), batches(0)
    loss = training_loss(model, retain, 0.0, generator(), copy.deepcopy(model))
    assert loss.item() == 0
    assert not gradient_of(model, loss).any()


def test_a_teacher_is_followed_under_every_condition(linear_model):
    """The teacher is off by a number a class: the loss is its square, averaged over the batch."""
    model, (_, retain) = linear_model(), batches(0)
    teacher = copy.deepcopy(model)
    off = torch.tensor([1.0, 2.0, 3.0])
    teacher.bias.data[:NULL] += off[:, None]
    loss = training_loss(model, retain, 0.0, generator(), teacher)
    assert loss.item() == pytest.approx(float((off[retain.labels] ** 2).mean()), rel=1e-5)
    assert model.evaluations == 2 * len(retain.labels)


def test_without_a_condition_the_teacher_is_followed_under_the_retained_ones(linear_model):
    """The target is the teacher's mean over the retained images; its own null condition says nothing."""
    model, (_, retain) = linear_model(), batches(0)
    teacher = copy.deepcopy(model)
    teacher.bias.data[NULL] += 100
    loss = training_loss(model, retain, 1.0, generator(), teacher)
    weights = Weights(model)
    gap = weights.bias[NULL] - weights.bias[retain.labels.numpy()]
    assert loss.item() == pytest.approx((gap**2).mean(), rel=1e-5)

    (bias_slope,) = torch.autograd.grad(loss, [model.bias])
    expected = np.zeros_like(weights.bias)
    expected[NULL] = 2 * (weights.bias[NULL] - weights.bias[retain.labels.numpy()].mean(0)) / gap[0].size
    np.testing.assert_allclose(bias_slope, expected, atol=1e-6)


@torch.no_grad()
def distance_to(model, condition, other, images):
    """How far a condition is from another one, for these images."""
    x0 = model.encode(images.tensors()[0])
    noised = noise_batch(model, x0, generator())
    conditions = (model.condition(torch.full((len(x0),), number)) for number in (condition, other))
    first, second = (model.denoise(noised.x_t, noised.t, c) for c in conditions)
    return mse_loss(first, second).item()


@pytest.mark.parametrize(("method", "instead"), [("erasediff", 2), ("finetune", 3)])
def test_an_earlier_condition_stays_forgotten(unet_model, toy_images, method, instead):
    """It becomes the next retained class or the null condition, 3; the control does not know of it."""
    retain, forget = (toy_images.select(toy_images.labels == label) for label in (2, 0))
    left = {}
    for before in ((), (1,)):
        model = unet_model()
        run(method, model, TrainingData(retain, forget, before), steps=30)
        left[before] = distance_to(model, 1, instead, retain)
    assert left[(1,)] < 0.5 * left[()]


@pytest.mark.parametrize("method", [name for name in STEPPED if name != "retrain"])
def test_every_method_with_a_retain_loss_holds_them(unet_model, data, method):
    """Two passes of each of the six batches of four: the prediction and its target."""
    given = data, data._replace(forgotten_before=(0,))
    without, holding = (run(method, unet_model(), d)[1].denoiser_evaluations for d in given)
    assert holding - without == 2 * 6 * 4


def test_retraining_has_nothing_to_hold(unet_model, data):
    without, holding = unet_model(), unet_model()
    run("retrain", without, data, steps=3)
    run("retrain", holding, data._replace(forgotten_before=(0,)), steps=3)
    assert weights_of(without) == weights_of(holding)
