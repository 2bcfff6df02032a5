import pytest
import torch

from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.esd import Esd, EsdSettings
from tests.helpers.by_hand import (
    NULL,
    RETAINED,
    Step,
    Weights,
    assert_update,
    batches,
    flat,
    generator,
    images_of,
)
from tests.helpers.runs import run, weights_of

DATA = TrainingData(retain=images_of(RETAINED), forget=images_of([0]))


def prepared(model, retain_weight=0.0, **settings):
    """Without other settings the paper's objective, which has no retain term."""
    method = Esd(EsdSettings(retain_weight=retain_weight, **settings))
    method.prepare(model, DATA, FeatureStore(), seed=0)
    return method


def push(model):
    """Move the weights, as earlier steps would have done."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator(7)) / 2)


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
        model = linear_model(seed)
        method, base = prepared(model, negative_guidance=eta), Weights(model)
        if pushed:
            push(model)
        step = Step(model, method, alpha_bar, seed)
        loss, gradient = step.forget_loss(target_by_hand(base, step, eta))
        assert step.forget.c.tolist() == [0] * 4
        assert_update(step, gradient)
        assert step.scalars == {"forget_loss": pytest.approx(loss, rel=1e-4)}


@pytest.mark.parametrize("beta", [0.3, 2.0])
def test_retain_term_adds_the_denoising_gradient(linear_model, alpha_bar, beta):
    for seed in range(5):
        model = linear_model(seed)
        method, base = prepared(model, retain_weight=beta), Weights(model)
        push(model)
        step = Step(model, method, alpha_bar, seed)
        _, g_forget = step.forget_loss(target_by_hand(base, step, 1.0))
        retain_loss, g_retain = step.retain_loss()
        assert_update(step, g_forget + beta * g_retain)
        assert step.scalars["retain_loss"] == pytest.approx(retain_loss, rel=1e-4)


def test_without_retain_term_the_retain_batch_is_not_read(linear_model, alpha_bar):
    model = linear_model()
    step = Step(model, prepared(model, retain_weight=0.0), alpha_bar)
    assert step.retain is None
    assert (model.bias.grad[1:] == 0).all()
    assert model.bias.grad[0].abs().min() > 0


def test_noised_forget_images_are_what_both_models_see(linear_model, alpha_bar):
    model = linear_model()
    method = prepared(model)
    step = Step(model, method, alpha_bar)
    (x0,) = step.noised
    assert torch.equal(x0, step.forget_x0)
    unconditional, conditional = method.base.calls
    for call in (unconditional, conditional):
        assert torch.equal(call.x_t, step.forget.x_t)
        assert torch.equal(call.t, step.forget.t)
        assert not call.grad
    assert (unconditional.c.tolist(), conditional.c.tolist()) == ([NULL] * 4, [0] * 4)


@pytest.mark.parametrize(("beta", "evaluations"), [(0.0, 3 * 4), (1.0, 3 * 4 + 6)])
def test_an_update_costs_the_base_model_too(linear_model, alpha_bar, beta, evaluations):
    model = linear_model()
    Step(model, prepared(model, retain_weight=beta), alpha_bar)
    assert model.evaluations == evaluations


def test_base_is_frozen_and_without_dropout(unet_model):
    model = unet_model(dropout=0.5).train()
    method = prepared(model)
    before = weights_of(method.base)
    method.gradients(model, *batches(0, shape=(1, 8, 8)), generator())
    assert weights_of(method.base) == before
    assert all(p.grad is None and not p.requires_grad for p in method.base.parameters())
    assert not any(module.training for module in method.base.modules())
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


def test_base_does_not_follow_a_training(unet_model, data, tmp_path):
    model = unet_model()
    before = weights_of(model)
    _, _, method = run("esd", model, data, tmp_path / "c")
    assert weights_of(method.base) == before
    assert weights_of(model) != before


def test_more_guidance_leads_further_away(linear_model, alpha_bar):
    updates = []
    for eta in (0.0, 1.0, 2.0):
        model = linear_model()
        updates.append(Step(model, prepared(model, negative_guidance=eta), alpha_bar).update)
    assert flat([updates[2] - updates[0]]) == pytest.approx(2 * (updates[1] - updates[0]), abs=1e-4)
