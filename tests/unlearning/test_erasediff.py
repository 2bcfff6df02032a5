import math

import numpy as np
import pytest
import torch

from erasediff_pipeline.config import UnlearnSettings
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.erasediff import EraseDiff
from tests.helpers.by_hand import RETAINED, batches, flat, generator, images_of, loss_and_gradient

CONTROLS = ["grad_norm", "value_gap", "cosine", "fixed"]


def build(model, **settings):
    method = EraseDiff(UnlearnSettings(**{"inner_learning_rate": 0.3, **settings}))
    data = TrainingData(retain=images_of(RETAINED * 2), forget=images_of([0, 0]))
    method.prepare(model, data, FeatureStore(), seed=0)
    return method


def run(model, seed, **settings):
    """The method's gradients, as one vector, and what it logs."""
    forget, retain = batches(seed)
    scalars = build(model, **settings).gradients(model, forget, retain, generator(seed))
    return flat([p.grad for p in model.trainable("full").values()]), scalars


class Problem:
    """What the model was asked in one step, from which both gradients follow."""

    def __init__(self, model, seed, alpha_bar):
        self.weight, self.bias = (
            p.detach().double().numpy().copy() for p in model.trainable("full").values()
        )
        _, retain = batches(seed)
        asked = [call for call in model.calls if call.grad]
        self.retain = next(call for call in asked if len(call.x_t) == 6)
        self.forget = next(call for call in asked if len(call.x_t) == 4)
        self.aimed = next((call for call in model.calls if not call.grad and len(call.x_t) == 4), None)
        a = alpha_bar[self.retain.t].view(-1, 1, 1, 1)
        eps = (self.retain.x_t.double() - a.sqrt() * retain.x0.double()) / (1 - a).sqrt()
        self.retain_loss, *g_retain = self.solve(self.retain, eps)
        self.forget_loss, *g_forget = self.forget_at(self.weight, self.bias)
        self.g_retain, self.g_forget = flat(g_retain), flat(g_forget)

    def solve(self, call, target):
        x_t = call.x_t.double().numpy()
        return loss_and_gradient(self.weight, self.bias, x_t, call.c.numpy(), target.double().numpy())

    def forget_at(self, weight, bias):
        x_t, target = self.forget.x_t.double().numpy(), self.aimed.prediction.double().numpy()
        return loss_and_gradient(weight, bias, x_t, self.forget.c.numpy(), target)

    def forget_after(self, step):
        """L_f at θ + step."""
        size = self.weight.size
        weight = self.weight + step[:size].reshape(self.weight.shape)
        return self.forget_at(weight, self.bias + step[size:].reshape(self.bias.shape))[0]

    def value_gap(self, steps, rate):
        weight, bias = self.weight, self.bias
        for _ in range(steps):
            _, dw, db = self.forget_at(weight, bias)
            weight, bias = weight - rate * dw, bias - rate * db
        return max(0.0, self.forget_loss - self.forget_at(weight, bias)[0])


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("eta", [0.0, 0.3, 2.0])
def test_lambda_and_direction_follow_the_formula(linear_model, alpha_bar, control, eta):
    for seed in range(8):
        model = linear_model(seed)
        direction, scalars = run(model, seed, control=control, eta=eta, fixed_lambda=0.7, inner_steps=3)
        problem = Problem(model, seed, alpha_bar)
        g_r, g_f = problem.g_retain, problem.g_forget
        inner, norms = g_r @ g_f, np.linalg.norm(g_r) * np.linalg.norm(g_f)
        expected = {
            "grad_norm": max(0.0, (eta * (g_f @ g_f) - inner) / (g_f @ g_f)),
            "value_gap": max(0.0, (eta * problem.value_gap(3, 0.3) - inner) / (g_f @ g_f)),
            "cosine": max(0.0, eta - inner / norms),
            "fixed": 0.7,
        }[control]
        assert scalars["lambda"] == pytest.approx(expected, rel=2e-3, abs=2e-3)
        assert scalars["gradient_cosine"] == pytest.approx(inner / norms, abs=1e-3)
        assert scalars["retain_loss"] == pytest.approx(problem.retain_loss, rel=1e-3)
        assert scalars["forget_loss"] == pytest.approx(problem.forget_loss, rel=1e-3)
        np.testing.assert_allclose(direction, g_r + scalars["lambda"] * g_f, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("control", ["grad_norm", "value_gap", "cosine"])
def test_lambda_is_never_negative(linear_model, control):
    """η = 0 asks for it to be negative whenever the gradients agree."""
    drawn = [run(linear_model(seed), seed, control=control, eta=0.0)[1] for seed in range(40)]
    assert min(scalars["lambda"] for scalars in drawn) == 0
    assert max(scalars["lambda"] for scalars in drawn) > 0
    assert all(scalars["lambda"] == 0 for scalars in drawn if scalars["gradient_cosine"] > 0)


@pytest.mark.parametrize("control", ["grad_norm", "value_gap"])
def test_to_first_order_the_update_never_raises_the_forget_loss(linear_model, alpha_bar, control):
    for seed in range(100):
        model = linear_model(seed)
        direction, _ = run(model, seed, control=control, eta=1.0)
        problem = Problem(model, seed, alpha_bar)
        assert problem.g_forget @ direction >= -1e-5
        assert problem.forget_after(-1e-3 * direction) <= problem.forget_loss + 1e-9


def test_without_the_constraint_it_rises_where_the_gradients_conflict(linear_model, alpha_bar):
    """The negative control of the test above."""
    conflicts = 0
    for seed in range(100):
        model = linear_model(seed)
        direction, scalars = run(model, seed, control="fixed", fixed_lambda=0.0)
        if scalars["gradient_cosine"] > -0.05:
            continue
        problem = Problem(model, seed, alpha_bar)
        assert problem.g_forget @ direction < 0
        assert problem.forget_after(-1e-4 * direction) > problem.forget_loss
        conflicts += 1
    assert conflicts >= 5


def test_larger_eta_pushes_harder(linear_model):
    weights = [run(linear_model(), 0, control="grad_norm", eta=eta)[1]["lambda"] for eta in (1.0, 2.0, 5.0)]
    assert weights[1] - weights[0] == pytest.approx(1, rel=1e-4)
    assert weights[2] - weights[1] == pytest.approx(3, rel=1e-4)


@pytest.mark.parametrize("control", ["fixed", "grad_norm", "cosine"])
def test_inner_steps_change_nothing_but_the_value_gap(linear_model, control):
    one, seven = (run(linear_model(), 0, control=control, inner_steps=k) for k in (1, 7))
    assert one[0].tobytes() == seven[0].tobytes()
    assert one[1] == seven[1]


def test_inner_steps_widen_the_value_gap(linear_model):
    one, seven = (run(linear_model(), 0, control="value_gap", inner_steps=k, eta=5)[1] for k in (1, 7))
    assert seven["lambda"] > one["lambda"]


@pytest.mark.parametrize(("control", "evaluations"), [("fixed", 6 + 2 * 4), ("value_gap", 6 + 2 * 4 + 4 * 4)])
def test_inner_steps_run_under_value_gap_only(linear_model, control, evaluations):
    """Three inner steps and the loss after them are four passes of the forget batch."""
    model = linear_model()
    run(model, 0, control=control, inner_steps=3)
    assert model.evaluations == evaluations


def test_descent_touches_nothing(unet_model):
    """Neither weights, nor gradients, nor any generator; dropout is on to make it draw."""
    model = unet_model(dropout=0.5).train()
    method = build(model, control="fixed", inner_steps=3)
    forget, retain = batches(0, shape=(1, 8, 8))
    g = generator()
    method.gradients(model, forget, retain, g)
    aimed = method.noise_with_target(model, forget, g)

    def state():
        weights = [p.detach().numpy().tobytes() for p in model.parameters()]
        gradients = [p.grad.numpy().tobytes() for p in model.parameters()]
        return weights, gradients, g.get_state().tolist()

    before = state()
    asked = method.predictor(model, forget, g)
    method.descend(model, aimed, asked)
    assert state() == before

    draws = torch.get_rng_state().tolist()
    method.value_gap(model, aimed, asked, torch.tensor(1.0))
    assert state() == before
    assert torch.get_rng_state().tolist() == draws


def test_descent_in_between_does_not_change_the_next_update(linear_model):
    plain, disturbed = linear_model(), linear_model()
    expected, _ = run(plain, 0, control="fixed")
    method = build(disturbed, control="fixed")
    forget, retain = batches(0)
    g = generator(0)
    asked = method.predictor(disturbed, forget, generator(9))
    method.descend(disturbed, method.noise_with_target(disturbed, forget, generator(9)), asked)
    method.gradients(disturbed, forget, retain, g)
    assert flat([p.grad for p in disturbed.parameters()]).tobytes() == expected.tobytes()


def test_value_gap_sees_the_inner_steps_under_bf16(linear_model):
    """Autocast keeps bf16 copies of the weights, which must not hide the inner steps."""
    model = linear_model()
    method = build(model, control="value_gap", inner_steps=5)
    forget, _ = batches(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        aimed = method.noise_with_target(model, forget, generator())
        loss = (model.denoise(aimed.x_t, aimed.t, forget.labels).float() - aimed.target).square().mean()
        asked = method.predictor(model, forget, generator())
        gap = method.value_gap(model, aimed, asked, loss)
    exact = method.value_gap(model, aimed, asked, loss)
    assert exact > 0
    assert gap == pytest.approx(exact, rel=0.1)


def test_inner_steps_that_overflow_are_no_value_gap_of_nothing(linear_model):
    """The gradient is not finite then, which the loop sees; λ = 0 would be a step without forgetting."""
    too_far = {"control": "value_gap", "inner_steps": 50, "inner_learning_rate": 1e6}
    direction, scalars = run(linear_model(), 0, **too_far)
    assert math.isnan(scalars["lambda"])
    assert not np.isfinite(direction).any()


def prepare_other_class(model, retained, forgotten, target="other_class"):
    method = EraseDiff(UnlearnSettings(forget_target=target))
    data = TrainingData(retain=images_of(retained), forget=images_of(forgotten))
    method.prepare(model, data, FeatureStore(), seed=0)
    return method


@pytest.mark.parametrize("retained", [RETAINED, [0, 1, 2]])
def test_the_aim_is_never_the_forgotten_class(linear_model, retained):
    """Through the method itself, by classes and by ids."""
    model = linear_model()
    method = prepare_other_class(model, retained, [0])
    forget, _ = batches(0)
    for seed in range(50):
        method.noise_with_target(model, forget, generator(seed))
    aims = torch.cat([call.c for call in model.calls])
    assert set(aims.tolist()) == {1, 2}


@pytest.mark.parametrize("target", ["other_class", "next_class"])
def test_no_other_class_is_left(linear_model, target):
    with pytest.raises(InvalidRequest, match=rf"unlearn\.forget_target: '{target}'.*retain set has \[1\]"):
        prepare_other_class(linear_model(), [1, 1], [1], target)


@pytest.mark.parametrize("target", ["null", "uniform_noise"])
def test_other_targets_need_no_other_class(linear_model, target):
    method = EraseDiff(UnlearnSettings(forget_target=target))
    data = TrainingData(retain=images_of([1, 1]), forget=images_of([1]))
    method.prepare(linear_model(), data, FeatureStore(), seed=0)


def test_one_other_class_is_enough(linear_model):
    assert prepare_other_class(linear_model(), [1, 1], [0]).retained_classes.tolist() == [1]


def test_target_other_class(linear_model):
    model = linear_model()
    aimed = build(model, forget_target="other_class").noise_with_target(model, batches(0)[0], generator())
    (call,) = model.calls
    assert torch.equal(aimed.target, model.denoise(aimed.x_t, aimed.t, call.c))
    assert not aimed.target.requires_grad


def test_target_next_class(linear_model):
    model = linear_model()
    aimed = build(model, forget_target="next_class").noise_with_target(model, batches(0)[0], generator())
    (call,) = model.calls
    assert call.c.tolist() == [1] * 4
    assert torch.equal(aimed.target, model.denoise(aimed.x_t, aimed.t, call.c))
    assert not aimed.target.requires_grad


def test_distillation_asks_for_nothing_before_the_model_has_moved(linear_model):
    """∇L_r = 0, so that the whole step is η∇L_f; against denoising, which pulls at the start, too."""
    asked = {"control": "grad_norm", "eta": 0.5, "condition_dropout": 0.0}
    direction, scalars = run(linear_model(), 0, **asked, retain_loss="distillation")
    forgetting, plain = run(linear_model(), 0, **asked)
    assert scalars["retain_loss"] == 0
    assert plain["retain_loss"] > 0.05
    assert scalars["lambda"] == pytest.approx(0.5, rel=1e-4)
    assert scalars["forget_loss"] == plain["forget_loss"]
    assert not np.allclose(direction, forgetting)


def test_distillation_pulls_back_to_where_the_model_was(linear_model):
    model = linear_model()
    method = build(
        model, retain_loss="distillation", control="fixed", fixed_lambda=0.0, condition_dropout=0.0
    )
    before = [p.detach().clone() for p in model.trainable("full").values()]
    with torch.no_grad():
        model.trainable("full")["bias"][1:3] += 1.0
    forget, retain = batches(0)
    scalars = method.gradients(model, forget, retain, generator())
    assert scalars["retain_loss"] == pytest.approx(1, rel=1e-5)
    assert (model.trainable("full")["bias"].grad[1:3] > 0).all()
    assert all(
        torch.equal(x, y) for x, y in zip(before, method.teacher.trainable("full").values(), strict=True)
    )


@pytest.mark.parametrize("target", ["next_class", "other_class", "null"])
def test_under_distillation_classes_are_aimed_at_as_they_were_drawn_before(linear_model, target):
    """Not so the null condition, which drew then what is to be forgotten."""
    model = linear_model()
    method = build(model, forget_target=target, retain_loss="distillation")
    with torch.no_grad():
        model.trainable("full")["bias"] += 1.0
    aimed = method.noise_with_target(model, batches(0)[0], generator())
    (call,) = (method.teacher if target != "null" else model).calls
    now = model.denoise(aimed.x_t, aimed.t, call.c)
    torch.testing.assert_close(now - aimed.target, torch.full_like(now, float(target != "null")))
    assert model.evaluations == 2 * len(now)


def test_target_null(linear_model):
    model = linear_model()
    aimed = build(model, forget_target="null").noise_with_target(model, batches(0)[0], generator())
    assert torch.equal(aimed.target, model.denoise(aimed.x_t, aimed.t, model.null_condition(4)))
    assert not aimed.target.requires_grad


def test_target_uniform_noise(linear_model):
    model = linear_model()
    forget = Batch(torch.randn(20_000, 1, 2, 2), torch.zeros(20_000, dtype=torch.int64))
    aimed = build(model, forget_target="uniform_noise").noise_with_target(model, forget, generator())
    assert aimed.target.min() >= 0
    assert aimed.target.max() < 1
    assert float(aimed.target.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(aimed.target.var()) == pytest.approx(1 / 12, abs=0.003)
    assert not model.calls


def test_forget_batch_is_noised_from_its_own_images(linear_model, alpha_bar):
    model = linear_model()
    forget = Batch(torch.full((20_000, 1, 2, 2), 0.5), torch.zeros(20_000, dtype=torch.int64))
    aimed = build(model).noise_with_target(model, forget, generator())
    a = alpha_bar[aimed.t].view(-1, 1, 1, 1)
    eps = (aimed.x_t.double() - a.sqrt() * 0.5) / (1 - a).sqrt()
    assert float(eps.mean()) == pytest.approx(0, abs=0.02)
    assert float(eps.std()) == pytest.approx(1, abs=0.02)


def test_forget_and_retain_have_their_own_timesteps(linear_model):
    model = linear_model()
    forget, retain = batches(0, retain_size=300, forget_size=299)
    build(model).gradients(model, forget, retain, generator())
    t_retain, t_forget = (next(c.t for c in model.calls if c.grad and len(c.t) == n) for n in (300, 299))
    same = (t_retain[:299] == t_forget).double().mean()
    correlation = np.corrcoef(t_retain[:299], t_forget)[0, 1]
    assert same < 0.05
    assert abs(correlation) < 0.2


def test_forget_loss_is_taken_under_the_forgotten_condition(linear_model):
    model = linear_model()
    run(model, 0, condition_dropout=0.9)
    (call,) = [call for call in model.calls if call.grad and len(call.x_t) == 4]
    assert call.c.tolist() == [0] * 4


@pytest.mark.parametrize("subset", ["full", "selfattn", "noselfattn", "notime", "class_embedding"])
def test_gradients_reach_the_subset_only(unet_model, subset):
    model = unet_model()
    forget, retain = batches(0, shape=(1, 8, 8))
    build(model, subset=subset).gradients(model, forget, retain, generator())
    chosen = {id(p) for p in model.trainable(subset).values()}
    assert {id(p) for p in model.parameters() if p.grad is not None} == chosen


def test_vanishing_forget_gradient_keeps_lambda_finite(linear_model):
    """Where all conditions predict alike there is nothing to push."""
    model = linear_model()
    with torch.no_grad():
        model.bias.zero_()
    direction, scalars = run(model, 0, control="grad_norm")
    assert scalars["forget_loss"] == 0
    assert math.isfinite(scalars["lambda"])
    assert np.isfinite(direction).all()
