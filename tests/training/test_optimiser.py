import sys

import pytest
import torch

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.training.optimiser import build_schedule, match_layouts, optimiser_class
from tests.helpers.by_hand import generator
from tests.helpers.runs import in_8_bits, run, weights_of

CPU = torch.device("cpu")


def stepped(name, steps, shape=(64, 100), **rates):
    """A tensor after some steps on the same random gradients, and the optimiser."""
    weight = torch.nn.Parameter(torch.randn(shape, generator=generator()))
    optimiser = optimiser_class(name, CPU, "key")([weight], **{"lr": 0.01, "weight_decay": 0.0, **rates})
    for step in range(steps):
        noise = torch.randn(shape, generator=generator(step))
        weight.grad = torch.sin(torch.arange(weight.numel())).view(shape) + noise / 5
        optimiser.step()
    return weight.detach(), optimiser


def test_default_is_that_of_torch():
    assert optimiser_class("adamw", CPU, "key") is torch.optim.AdamW


@in_8_bits
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_8_bits_move_the_weights_as_32_do_but_for_rounding(decay):
    start, _ = stepped("adamw", 0)
    whole, rough = (stepped(name, 20, weight_decay=decay)[0] for name in ("adamw", "adamw_8bit"))
    assert 0 < (rough - whole).norm() < 0.05 * (whole - start).norm()


@in_8_bits
def test_first_step_is_the_learning_rate_against_the_sign_of_the_gradient():
    """m̂/√v̂ is ±1 there, whatever the precision of the moments that are kept."""
    step = (stepped("adamw_8bit", 1)[0] - stepped("adamw_8bit", 0)[0]).abs()
    assert step.max() == pytest.approx(0.01, rel=1e-4)
    assert (step > 0.0099).float().mean() > 0.99


@in_8_bits
def test_moments_take_two_bytes_a_weight_in_place_of_eight():
    """And 4 of each block of 256 for its scale; the table of the 256 values is there once."""
    per_weight = []
    for name in ("adamw", "adamw_8bit"):
        weight, optimiser = stepped(name, 1, shape=(512, 512))
        (state,) = optimiser.state.values()
        kept = [t for k, t in state.items() if isinstance(t, torch.Tensor) and not k.startswith("qmap")]
        per_weight.append(sum(t.nbytes for t in kept) / weight.numel())
    assert per_weight == [pytest.approx(8, abs=0.01), pytest.approx(2 + 2 * 4 / 256, abs=0.01)]


@in_8_bits
def test_a_method_learns_with_it(unet_model, data):
    models = unet_model(), unet_model()
    for name, model in zip(("adamw", "adamw_8bit"), models, strict=True):
        history, _, _ = run("finetune", model, data, steps=30, optimiser=name)
        assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert weights_of(models[0]) != weights_of(models[1])


@pytest.mark.parametrize(
    ("device", "error", "said"),
    [
        ("cpu", MissingInput, "is not installed: pip install 'erasediff_pipeline[adamw_8bit]', or choose"),
        ("mps", InvalidParameter, "runs on cpu, cuda, xpu, not on mps: choose"),
    ],
)
def test_what_cannot_be_had_is_one_line(monkeypatch, device, error, said):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(error) as refused:
        optimiser_class("adamw_8bit", torch.device(device), "unlearn.optimiser")
    assert refused.value.message == f"unlearn.optimiser: 'adamw_8bit' {said} 'adamw'"


def test_it_is_refused_before_anything_is_prepared(unet_model, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    model = unet_model()
    with pytest.raises(MissingInput, match="optimiser of salun: 'adamw_8bit' is not installed"):
        run("salun", model, data, None, optimiser="adamw_8bit")
    assert model.evaluations == 0


def one_step(fused, matched):
    """A weight after a step on a gradient of another memory layout."""
    start, gradient = (torch.randn(8, 4, 3, 3, generator=generator(seed)) for seed in (0, 1))
    weight = torch.nn.Parameter(start)
    weight.grad = gradient.contiguous(memory_format=torch.channels_last)
    if matched:
        match_layouts([weight])
    torch.optim.AdamW([weight], lr=0.1, fused=fused).step()
    return weight.detach()


def test_a_gradient_of_another_layout_is_stepped_as_it_should():
    torch.testing.assert_close(one_step(fused=True, matched=True), one_step(fused=False, matched=False))


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is an error there")
def test_without_that_torch_steps_by_other_gradients():
    """If this fails, ``match_layouts`` can go."""
    difference = one_step(fused=True, matched=False) - one_step(fused=False, matched=False)
    assert difference.abs().max() > 0.1


def rates(schedule):
    """Learning rate and β₁ at each of 100 steps."""
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-2)
    settings = PretrainSettings(steps=100, schedule=schedule, learning_rate=1e-2)
    scheduler, seen = build_schedule(optimiser, settings), []
    for _ in range(100):
        seen.append((optimiser.param_groups[0]["lr"], optimiser.param_groups[0]["betas"][0]))
        optimiser.step()
        scheduler.step()
    return zip(*seen, strict=True)


def test_one_cycle_rises_and_falls_and_its_momentum_the_other_way_round():
    rate, momentum = rates("one_cycle")
    assert max(rate) == pytest.approx(1e-2, rel=0.01)
    assert rate[0] < 1e-3
    assert rate[-1] < 1e-4
    assert min(momentum) == pytest.approx(0.85, rel=0.01)
    assert (momentum[0], momentum[-1]) == pytest.approx((0.95, 0.95), rel=0.01)
    assert rate.index(max(rate)) == momentum.index(min(momentum))


def test_constant_stays():
    rate, momentum = rates("constant")
    assert set(rate) == {1e-2}
    assert len(set(momentum)) == 1
