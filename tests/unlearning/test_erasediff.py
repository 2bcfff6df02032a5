import math

import numpy as np
import pytest
import torch

from erasediff_pipeline.diffusion.objective import noise_batch
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.unlearning.unseen import WEIGHT, as_unseen, draw_times
from tests.helpers.by_hand import DATA, RETAINED, Step, batches, flat, generator, images_of, noise_in, push
from tests.helpers.runs import prepared, weights_of

PAPER = {"control": "grad_norm", "forget_target": "null", "retain_loss": "denoising"}
CONTROLS = ["grad_norm", "value_gap", "cosine", "fixed"]


def build(model, data=DATA, **settings):
    return prepared("erasediff", model, data, **PAPER | settings)


def step_of(model, alpha_bar, seed=0, **settings):
    return Step(model, build(model, **settings), alpha_bar, seed)


def forget_loss(step, moved=0.0):
    """L_f and its gradient, also at weights that have moved."""
    weights = step.weights.moved(moved + np.zeros(step.weights.vector.shape))
    return weights.solve(step.forget, step.aims[0].prediction.double())


def value_gap(step, steps, rate):
    """How far steps of Adam lower L_f."""
    moved, losses = torch.zeros(len(step.weights.vector), dtype=torch.float64, requires_grad=True), []
    adam = torch.optim.Adam([moved], rate)
    for _ in range(steps + 1):
        loss, gradient = forget_loss(step, moved.detach().numpy())
        losses.append(loss)
        moved.grad = torch.from_numpy(gradient)
        adam.step()
    return losses[0] - min(losses)


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("eta", [0.0, 0.3, 2.0])
def test_lambda_and_direction_follow_the_formula(linear_model, alpha_bar, control, eta):
    for seed in range(8):
        options = {"control": control, "eta": eta, "fixed_lambda": 0.7}
        options |= {"inner_steps": 3, "inner_learning_rate": 0.05}
        step = step_of(linear_model(seed), alpha_bar, seed, **options)
        (retain, g_r), (forget, g_f) = step.retain_loss(), forget_loss(step)
        inner, norms = g_r @ g_f, np.linalg.norm(g_r) * np.linalg.norm(g_f)
        expected = {
            "grad_norm": max(0.0, (eta * (g_f @ g_f) - inner) / (g_f @ g_f)),
            "value_gap": max(0.0, (eta * value_gap(step, 3, 0.05) - inner) / (g_f @ g_f)),
            "cosine": max(0.0, eta - inner / norms),
            "fixed": 0.7,
        }[control]
        assert step.scalars["lambda"] == pytest.approx(expected, rel=2e-3, abs=2e-3)
        assert step.scalars["gradient_cosine"] == pytest.approx(inner / norms, abs=1e-3)
        assert step.scalars["retain_loss"] == pytest.approx(retain, rel=1e-3)
        assert step.scalars["forget_loss"] == pytest.approx(forget, rel=1e-3)
        np.testing.assert_allclose(step.update, g_r + step.scalars["lambda"] * g_f, atol=2e-3, rtol=2e-3)


def test_the_value_gap_pushes_by_default(unet_model):
    """Where the retain gradient is zero, λ is the gap over ‖∇L_f‖²: more than rounding, and not the rate."""
    options = {"retain_loss": "distillation", "forget_target": "next_class", "condition_dropout": 0.0}
    model = unet_model()
    method = build(model, control="value_gap", **options)
    scalars = method.gradients(model, *batches(0, shape=(1, 8, 8)), generator())
    assert scalars["retain_loss"] == 0
    assert scalars["lambda"] > 0.1


@pytest.mark.parametrize("control", ["grad_norm", "value_gap", "cosine"])
def test_lambda_is_never_negative(linear_model, alpha_bar, control):
    """η = 0 asks for it to be negative whenever the gradients agree."""
    drawn = [step_of(linear_model(n), alpha_bar, n, control=control, eta=0.0).scalars for n in range(40)]
    assert min(scalars["lambda"] for scalars in drawn) == 0 < max(scalars["lambda"] for scalars in drawn)
    assert all(scalars["lambda"] == 0 for scalars in drawn if scalars["gradient_cosine"] > 0)


@pytest.mark.parametrize("control", ["grad_norm", "value_gap"])
def test_to_first_order_the_update_never_raises_the_forget_loss(linear_model, alpha_bar, control):
    for seed in range(100):
        options = {"control": control, "eta": 1.0, "inner_learning_rate": 0.05}
        step = step_of(linear_model(seed), alpha_bar, seed, **options)
        loss, gradient = forget_loss(step)
        assert gradient @ step.update >= -1e-5
        assert forget_loss(step, -1e-3 * step.update)[0] <= loss + 1e-9


def test_without_the_constraint_it_rises_where_the_gradients_conflict(linear_model, alpha_bar):
    """The negative control of the test above."""
    drawn = [step_of(linear_model(n), alpha_bar, n, control="fixed", fixed_lambda=0.0) for n in range(100)]
    conflicts = [step for step in drawn if step.scalars["gradient_cosine"] <= -0.05]
    assert len(conflicts) >= 5
    for step in conflicts:
        loss, gradient = forget_loss(step)
        assert gradient @ step.update < 0
        assert forget_loss(step, -1e-4 * step.update)[0] > loss


@pytest.mark.parametrize("control", CONTROLS)
def test_inner_steps_widen_the_value_gap_and_change_nothing_else(linear_model, alpha_bar, control):
    options = {"control": control, "eta": 5, "inner_learning_rate": 0.02}
    one, seven = (step_of(linear_model(), alpha_bar, **options, inner_steps=k) for k in (1, 7))
    if control == "value_gap":
        assert seven.scalars["lambda"] > one.scalars["lambda"]
    else:
        assert (one.update.tobytes(), one.scalars) == (seven.update.tobytes(), seven.scalars)


def test_descent_touches_nothing(unet_model):
    """Neither weights, nor gradients, nor any generator; dropout is on to make it draw."""
    model = unet_model(dropout=0.5).train()
    method = build(model, control="fixed", inner_steps=3)
    (forget, retain), g = batches(0, shape=(1, 8, 8)), generator()
    method.gradients(model, forget, retain, g)
    noised, predict = method.noise_with_target(model, forget, g), method.predictor(model, forget, g)

    def state():
        gradients = [p.grad.numpy().tobytes() for p in model.parameters()]
        return weights_of(model), gradients, g.get_state().tolist(), torch.get_rng_state().tolist()

    before = state()
    method.value_gap(model, noised, predict)
    assert state() == before


def test_value_gap_sees_the_inner_steps_under_bf16(linear_model):
    """Autocast keeps bf16 copies of the weights, which must not hide the inner steps."""
    model = linear_model()
    method = build(model, control="value_gap", inner_steps=5, inner_learning_rate=0.02)
    forget, _ = batches(0)
    predict = method.predictor(model, forget, generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        noised = method.noise_with_target(model, forget, generator())
        gap = method.value_gap(model, noised, predict)
    exact = method.value_gap(model, noised, predict)
    assert exact > 0
    assert gap == pytest.approx(exact, rel=0.1)


def test_inner_steps_that_overflow_are_no_value_gap_of_nothing(linear_model, alpha_bar):
    """The gradient is not finite then, which the loop sees; λ = 0 would be a step without forgetting."""
    step = step_of(linear_model(), alpha_bar, control="value_gap", inner_learning_rate=1e30)
    assert math.isnan(step.scalars["lambda"])
    assert not np.isfinite(step.update).any()


def test_vanishing_forget_gradient_keeps_lambda_finite(linear_model, alpha_bar):
    """Where all conditions predict alike there is nothing to push."""
    model = linear_model()
    with torch.no_grad():
        model.bias.zero_()
    step = step_of(model, alpha_bar, control="grad_norm")
    assert step.scalars["forget_loss"] == 0
    assert np.isfinite([step.scalars["lambda"], *step.update]).all()


@pytest.mark.parametrize("retained", [RETAINED, [0, 1, 2]])
def test_the_target_is_never_the_forgotten_class(linear_model, retained):
    """By classes and by ids."""
    model = linear_model()
    data = TrainingData(retain=images_of(retained), forget=images_of([0]))
    method = build(model, data, forget_target="other_class")
    for seed in range(50):
        method.noise_with_target(model, batches(0)[0], generator(seed))
    assert {c for call in model.calls for c in call.c.tolist()} == {1, 2}


@pytest.mark.parametrize("target", ["other_class", "next_class", "null", "uniform_noise"])
def test_some_targets_need_another_class(linear_model, target):
    data = TrainingData(retain=images_of([1, 1]), forget=images_of([1]))
    if target in ("null", "uniform_noise"):
        build(linear_model(), data, forget_target=target)
        return
    with pytest.raises(InvalidRequest, match=rf"unlearn\.forget_target: '{target}'.*retain set has \[1\]"):
        build(linear_model(), data, forget_target=target)
    one_other = TrainingData(retain=images_of([1, 1]), forget=images_of([0]))
    assert build(linear_model(), one_other, forget_target=target).retained_classes.tolist() == [1]


@pytest.mark.parametrize("retain_loss", ["denoising", "distillation"])
def test_by_default_the_request_decides_on_the_target(linear_model, retain_loss):
    """Single images keep their class; their target is that of the base model, not of the one in training."""
    model, by_ids = linear_model(), DATA._replace(unseen=images_of([0, 1, 2]))
    options = {"forget_target": "by_request", "retain_loss": retain_loss}
    assert build(model, **options).target == "next_class"
    assert build(model, DATA._replace(anchor=2), **options).target == "anchor_prompt"
    method = build(model, by_ids, **options)
    assert (method.target, method.teacher is None) == ("unseen", retain_loss == "denoising")
    push(model)
    noised, g = method.noise_with_target(model, batches(0)[0], generator()), generator()
    x0 = batches(0)[0].x0
    t = draw_times(method.factors, len(x0), model.process.times, g)
    expected = as_unseen(method.base, noise_batch(model, x0, g, t=t), noised.t * 0, method.factors)
    assert torch.equal(noised.target, expected.target)


def test_the_loss_of_unseen_has_its_weight(linear_model):
    model, (forget, _) = linear_model(), batches(0)
    method = build(model, DATA._replace(unseen=images_of([0, 1, 2])), forget_target="unseen")
    noised = method.noise_with_target(model, forget, generator())
    error = model.denoise(noised.x_t, noised.t, forget.labels) - noised.target
    found = method.forget_loss(model, noised, method.predictor(model, forget, generator()))
    assert float(found) == pytest.approx(WEIGHT * float(error.square().mean()), rel=1e-5)


def test_unseen_needs_a_request_by_ids_and_unseen_images(linear_model):
    with pytest.raises(InvalidRequest, match=r"forget_target: 'unseen' needs a request by forget\.ids_file"):
        build(linear_model(), forget_target="unseen")
    with pytest.raises(InvalidRequest, match=r"'unseen' needs images .* raise source\.test_fraction"):
        build(linear_model(), DATA._replace(unseen=images_of([])), forget_target="unseen")


@pytest.mark.parametrize("retain_loss", ["denoising", "distillation"])
@pytest.mark.parametrize(("target", "classes"), [("other_class", {1, 2}), ("next_class", {1}), ("null", {3})])
def test_the_target_is_the_prediction_under_another_condition(linear_model, target, classes, retain_loss):
    """Under distillation that of the base model, which has not moved, if the target is a class.

    Not so the null condition, under which the base model draws what is to be forgotten.
    """
    model, base = linear_model(), retain_loss == "distillation" and target != "null"
    method = build(model, forget_target=target, retain_loss=retain_loss)
    with torch.no_grad():
        model.bias += 1.0
    noised = method.noise_with_target(model, batches(0)[0], generator())
    (call,) = (method.teacher if base else model).calls
    assert set(call.c.tolist()) == classes
    now = model.denoise(noised.x_t, noised.t, call.c)
    torch.testing.assert_close(now - noised.target, torch.full_like(now, float(base)))
    assert base or torch.equal(noised.target, now)
    assert not noised.target.requires_grad
    assert model.evaluations == 2 * len(now)


@pytest.mark.parametrize(("target", "mean", "variance"), [("null", 0, 1), ("uniform_noise", 0.5, 1 / 12)])
def test_forget_batch_is_noised_from_its_own_images(linear_model, alpha_bar, target, mean, variance):
    """The noise of ``uniform_noise`` is also its target, as in the released code."""
    model = linear_model()
    forget = Batch(torch.full((20_000, 1, 2, 2), 0.5), torch.zeros(20_000, dtype=torch.int64))
    noised = build(model, forget_target=target).noise_with_target(model, forget, generator())
    far = noised.t > 100  # nearer, rounding decides
    eps = noise_in(noised, forget.x0, alpha_bar)[far]
    assert eps.mean() == pytest.approx(mean, abs=0.02)
    assert eps.var() == pytest.approx(variance, rel=0.03)
    if target == "uniform_noise":
        np.testing.assert_allclose(eps, noised.target[far].numpy(), atol=1e-4)
        assert 0 <= noised.target.min() <= noised.target.max() < 1
        assert not model.calls


def test_distillation_asks_for_nothing_before_the_model_has_moved(linear_model, alpha_bar):
    """∇L_r = 0, so that the whole step is η∇L_f; against denoising, which pulls at the start, too."""
    options = {"control": "grad_norm", "eta": 0.5, "condition_dropout": 0.0}
    distilled = step_of(linear_model(), alpha_bar, **options, retain_loss="distillation")
    plain = step_of(linear_model(), alpha_bar, **options)
    assert distilled.scalars["retain_loss"] == 0
    assert plain.scalars["retain_loss"] > 0.05
    assert distilled.scalars["lambda"] == pytest.approx(0.5, rel=1e-4)
    assert distilled.scalars["forget_loss"] == plain.scalars["forget_loss"]
    assert not np.allclose(distilled.update, plain.update)


def test_distillation_pulls_back_to_where_the_model_was(linear_model):
    model = linear_model()
    options = {"control": "fixed", "fixed_lambda": 0.0, "condition_dropout": 0.0}
    method = build(model, retain_loss="distillation", **options)
    with torch.no_grad():
        model.bias[1:3] += 1.0
    scalars = method.gradients(model, *batches(0), generator())
    assert scalars["retain_loss"] == pytest.approx(1, rel=1e-5)
    assert (model.bias.grad[1:3] > 0).all()


@pytest.mark.parametrize("subset", ["full", "selfattn", "noselfattn", "notime", "class_embedding"])
def test_gradients_reach_the_subset_only(unet_model, subset):
    model = unet_model()
    build(model, subset=subset).gradients(model, *batches(0, shape=(1, 8, 8)), generator())
    chosen = {id(p) for p in model.trainable(subset).values()}
    assert {id(p) for p in model.parameters() if p.grad is not None} == chosen
    assert np.abs(flat([p.grad for p in model.trainable(subset).values()])).max() > 0
