import math

import numpy as np
import pytest
import torch

from erasediff_pipeline.config import UnlearnSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.unlearning.erasediff import EraseDiff, draw_other_class
from erasediff_pipeline.unlearning.method import Batch, TrainingData

CONTROLS = ["grad_norm", "value_gap", "cosine", "fixed"]
RETAINED = [1, 2]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images_of(labels, shape=(1, 2, 2)):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (len(labels), *shape), dtype=np.uint8)
    return LabelledImages(pixels, np.array(labels))


def batches(seed, retain_size=6, forget_size=4, shape=(1, 2, 2)):
    """A forget batch of class 0 and a retain batch of the others; their sizes tell their calls apart."""
    g = generator(seed)
    forget = Batch(torch.randn(forget_size, *shape, generator=g), torch.zeros(forget_size, dtype=torch.int64))
    retain = Batch(torch.randn(retain_size, *shape, generator=g), 1 + torch.arange(retain_size) % 2)
    return forget, retain


def build(model, **settings):
    method = EraseDiff(UnlearnSettings(**{"inner_learning_rate": 0.3, **settings}))
    method.prepare(model, TrainingData(retain=images_of(RETAINED * 2), forget=images_of([0, 0])))
    return method


def run(model, seed, **settings):
    """The method's gradients, as one vector, and what it logs."""
    forget, retain = batches(seed)
    scalars = build(model, **settings).gradients(model, forget, retain, generator(seed))
    return flat([p.grad for p in model.trainable("full").values()]), scalars


def flat(tensors):
    return np.concatenate([np.asarray(tensor, dtype=np.float64).ravel() for tensor in tensors])


def loss_and_gradient(weight, bias, x_t, c, target):
    """Mean squared error of W·x + b_c, and its gradient, by hand in float64."""
    x, y = x_t.reshape(len(x_t), -1), target.reshape(len(target), -1)
    residual = x @ weight.T + bias[c] - y
    slope = 2 * residual / residual.size
    bias_slope = np.zeros_like(bias)
    np.add.at(bias_slope, c, slope)
    return (residual**2).mean(), slope.T @ x, bias_slope


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
    aimed = method.aim(model, forget, g)

    def state():
        weights = [p.detach().numpy().tobytes() for p in model.parameters()]
        gradients = [p.grad.numpy().tobytes() for p in model.parameters()]
        return weights, gradients, g.get_state().tolist()

    before = state()
    method.descend(model, aimed, forget.labels)
    assert state() == before

    draws = torch.get_rng_state().tolist()
    method.value_gap(model, aimed, forget.labels, torch.tensor(1.0))
    assert state() == before
    assert torch.get_rng_state().tolist() == draws


def test_descent_in_between_does_not_change_the_next_update(linear_model):
    plain, disturbed = linear_model(), linear_model()
    expected, _ = run(plain, 0, control="fixed")
    method = build(disturbed, control="fixed")
    forget, retain = batches(0)
    g = generator(0)
    method.descend(disturbed, method.aim(disturbed, forget, generator(9)), forget.labels)
    method.gradients(disturbed, forget, retain, g)
    assert flat([p.grad for p in disturbed.parameters()]).tobytes() == expected.tobytes()


def test_value_gap_sees_the_inner_steps_under_bf16(linear_model):
    """Autocast keeps bf16 copies of the weights, which must not hide the inner steps."""
    model = linear_model()
    method = build(model, control="value_gap", inner_steps=5)
    forget, _ = batches(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        aimed = method.aim(model, forget, generator())
        loss = (model.denoise(aimed.x_t, aimed.t, forget.labels).float() - aimed.target).square().mean()
        gap = method.value_gap(model, aimed, forget.labels, loss)
    exact = method.value_gap(model, aimed, forget.labels, loss)
    assert exact > 0
    assert gap == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("forgotten", [0, 4, 9])
def test_other_class_by_class_is_uniform_over_the_retained(forgotten):
    retained = torch.tensor([label for label in range(10) if label != forgotten])
    for seed in range(20):
        drawn = draw_other_class(torch.full((4500,), forgotten), retained, generator(seed))
        counts = torch.bincount(drawn, minlength=10)
        assert counts[forgotten] == 0
        assert counts[retained].min() > 380
        assert counts[retained].max() < 620


def test_other_class_by_ids_is_uniform_over_all_but_its_own():
    """A request by ids keeps its classes, so the own class is among the retained ones."""
    labels, retained = torch.arange(5).repeat(2000), torch.arange(5)
    for seed in range(20):
        drawn = draw_other_class(labels, retained, generator(seed))
        assert not (drawn == labels).any()
        table = torch.zeros(5, 5).index_put((labels, drawn), torch.ones(len(labels)), accumulate=True)
        others = table[~torch.eye(5, dtype=torch.bool)]
        assert others.min() > 400
        assert others.max() < 600


def test_other_class_where_some_labels_are_retained_and_some_are_not():
    labels, retained = torch.tensor([0, 2, 5] * 3000), torch.tensor([2, 5, 7])
    drawn = draw_other_class(labels, retained, generator())
    assert set(drawn[labels == 0].tolist()) == {2, 5, 7}
    assert set(drawn[labels == 2].tolist()) == {5, 7}
    assert set(drawn[labels == 5].tolist()) == {2, 7}


@pytest.mark.parametrize("retained", [RETAINED, [0, 1, 2]])
def test_the_aim_is_never_the_forgotten_class(linear_model, retained):
    """Through the method itself, by classes and by ids."""
    model = linear_model()
    method = EraseDiff(UnlearnSettings(forget_target="other_class"))
    method.prepare(model, TrainingData(retain=images_of(retained), forget=images_of([0])))
    forget, _ = batches(0)
    for seed in range(50):
        method.aim(model, forget, generator(seed))
    aims = torch.cat([call.c for call in model.calls])
    assert set(aims.tolist()) == {1, 2}


def test_no_other_class_is_left(linear_model):
    method = EraseDiff(UnlearnSettings(forget_target="other_class"))
    with pytest.raises(InvalidRequest, match=r"unlearn\.forget_target.*allowed are 'null', 'uniform_noise'"):
        method.prepare(linear_model(), TrainingData(retain=images_of([1, 1]), forget=images_of([1])))


def test_one_other_class_is_enough(linear_model):
    method = EraseDiff(UnlearnSettings(forget_target="other_class"))
    method.prepare(linear_model(), TrainingData(retain=images_of([1, 1]), forget=images_of([0])))
    assert method.retained_classes.tolist() == [1]


def test_target_other_class(linear_model):
    model = linear_model()
    aimed = build(model, forget_target="other_class").aim(model, batches(0)[0], generator())
    (call,) = model.calls
    assert torch.equal(aimed.target, model.denoise(aimed.x_t, aimed.t, call.c))
    assert not aimed.target.requires_grad


def test_target_null(linear_model):
    model = linear_model()
    aimed = build(model, forget_target="null").aim(model, batches(0)[0], generator())
    assert torch.equal(aimed.target, model.denoise(aimed.x_t, aimed.t, model.null_condition(4)))
    assert not aimed.target.requires_grad


def test_target_uniform_noise(linear_model):
    model = linear_model()
    forget = Batch(torch.randn(20_000, 1, 2, 2), torch.zeros(20_000, dtype=torch.int64))
    aimed = build(model, forget_target="uniform_noise").aim(model, forget, generator())
    assert aimed.target.min() >= 0
    assert aimed.target.max() < 1
    assert float(aimed.target.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(aimed.target.var()) == pytest.approx(1 / 12, abs=0.003)
    assert not model.calls


def test_forget_batch_is_noised_from_its_own_images(linear_model, alpha_bar):
    model = linear_model()
    forget = Batch(torch.full((20_000, 1, 2, 2), 0.5), torch.zeros(20_000, dtype=torch.int64))
    aimed = build(model).aim(model, forget, generator())
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


def test_forget_batch_is_needed(linear_model):
    model = linear_model()
    with pytest.raises(ValueError, match="forget batch"):
        build(model).gradients(model, None, batches(0)[1], generator())
