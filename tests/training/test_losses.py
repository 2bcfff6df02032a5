import copy

import numpy as np
import pytest
import torch

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

    slope = 2 * gap / gap.size
    bias_slope = np.zeros_like(weights.bias)
    np.add.at(bias_slope, c.numpy(), slope)
    (x_t,) = {tuple(call.x_t.flatten().tolist()) for call in model.calls}
    expected = flat([slope.T @ np.array(x_t).reshape(6, -1), bias_slope])
    np.testing.assert_allclose(gradient_of(model, loss), expected, atol=1e-5)


def test_a_condition_that_says_nothing_costs_nothing(linear_model):
    model = linear_model()
    with torch.no_grad():
        model.trainable("full")["bias"][1] = model.trainable("full")["bias"][NULL]
    assert indifference(model, batches(0)[1].x0, torch.ones(6, dtype=torch.int64), generator()) == 0


def test_the_retain_loss_holds_what_was_forgotten_before(linear_model):
    model, (_, retain) = linear_model(), batches(0)
    g = generator()
    plain = training_loss(model, retain, 0.5, g)
    held = indifference(model, retain.x0, torch.zeros(6, dtype=torch.int64), g)
    both = training_loss(
        model, retain._replace(forgotten_before=torch.zeros(6, dtype=torch.int64)), 0.5, generator()
    )
    assert both.item() == pytest.approx((plain + held).item(), rel=1e-6)
    assert held > 0.05


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
    with torch.no_grad():
        teacher.trainable("full")["bias"][:NULL] += off[:, None]
    loss = training_loss(model, retain, 0.0, generator(), teacher)
    assert loss.item() == pytest.approx(float((off[retain.labels] ** 2).mean()), rel=1e-5)
    assert model.evaluations == 2 * len(retain.labels)


def test_without_a_condition_the_teacher_is_followed_under_the_retained_ones(linear_model):
    """The target is the teacher's mean over the retained images; its own null condition says nothing."""
    model, (_, retain) = linear_model(), batches(0)
    teacher = copy.deepcopy(model)
    with torch.no_grad():
        teacher.trainable("full")["bias"][NULL] += 100
    loss = training_loss(model, retain, 1.0, generator(), teacher)
    weights = Weights(model)
    gap = weights.bias[NULL] - weights.bias[retain.labels.numpy()]
    assert loss.item() == pytest.approx((gap**2).mean(), rel=1e-5)

    _, bias_slope = torch.autograd.grad(loss, [model.trainable("full")[name] for name in ("weight", "bias")])
    expected = np.zeros_like(weights.bias)
    expected[NULL] = 2 * (weights.bias[NULL] - weights.bias[retain.labels.numpy()].mean(0)) / gap[0].size
    np.testing.assert_allclose(bias_slope, expected, atol=1e-6)


def left_of(model, condition, images):
    """How much the condition says beside the null condition."""
    pixels, _ = images.tensors()
    with torch.no_grad():
        c = torch.full((len(pixels),), condition)
        return indifference(model, model.encode(pixels), c, generator()).item()


@pytest.mark.parametrize("method", ["erasediff", "finetune"])
def test_an_earlier_condition_stays_forgotten(unet_model, toy_images, tmp_path, method):
    """With the same training that does not know of the earlier request as negative control."""
    retain = toy_images.select(toy_images.labels == 2)
    forget = toy_images.select(toy_images.labels == 0)
    left = {}
    for before in ((), (1,)):
        model = unet_model()
        run(method, model, TrainingData(retain, forget, before), tmp_path / "c", steps=30)
        left[before] = left_of(model, 1, retain)
    assert left[(1,)] < 0.5 * left[()]


@pytest.mark.parametrize("method", [name for name in STEPPED if name != "retrain"])
def test_every_method_with_a_retain_loss_holds_them(unet_model, data, tmp_path, method):
    """Two passes of each of the six batches of four: the prediction and its target."""
    costs = [
        run(method, unet_model(), data._replace(forgotten_before=before), tmp_path / "c")[1]
        for before in ((), (0,))
    ]
    assert costs[1].denoiser_evaluations - costs[0].denoiser_evaluations == 2 * 6 * 4


def test_retraining_has_nothing_to_hold(unet_model, data, tmp_path):
    models = unet_model(), unet_model()
    for model, before in zip(models, ((), (0,)), strict=True):
        run("retrain", model, data._replace(forgotten_before=before), tmp_path / "c", steps=3)
    assert weights_of(models[0]) == weights_of(models[1])
