import math
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.training import loop
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.gradients import (
    GROWTH_INTERVAL,
    HIGHEST,
    START,
    LossScale,
    backward,
    gradients_of,
)
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import TrainingData
from tests.helpers.runs import STEPPED, Killed, kill_at, run, small, watch, weights_of


@pytest.fixture
def in_fp16(monkeypatch):
    """The loop as on a GPU in fp16, but for the precision itself, in which a CPU is far too slow."""
    accelerator = SimpleNamespace(
        device=torch.device("cpu"),
        mixed_precision="fp16",
        num_processes=1,
        process_index=0,
        autocast=nullcontext,
        clip_grad_norm_=clip_grad_norm_,
    )
    return lambda: monkeypatch.setattr(loop, "start_accelerator", lambda _, machine: (accelerator, machine))


def test_the_scale_halves_where_gradients_overflow_and_doubles_after_long():
    scale = LossScale(active=True)
    scale.update(finite=False)
    assert (scale.scale, scale.good_steps) == (START / 2, 0)
    for _ in range(GROWTH_INTERVAL - 1):
        scale.update(finite=True)
    assert (scale.scale, scale.good_steps) == (START / 2, GROWTH_INTERVAL - 1)
    scale.update(finite=True)
    assert (scale.scale, scale.good_steps) == (START, 0)
    scale.scale, scale.good_steps = HIGHEST, GROWTH_INTERVAL - 1
    scale.update(finite=True)
    assert scale.scale == HIGHEST


def test_without_fp16_the_scale_is_one_for_good():
    scale = LossScale(active=False)
    scale.update(finite=False)
    assert scale.scale == 1
    assert scale.exhausted


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_gradients_are_those_of_the_loss(linear_model, scale):
    model = linear_model()
    model.loss_scale = scale
    parameters = list(model.parameters())

    def loss():
        return sum((p**3).sum() for p in parameters)

    for gradient, parameter in zip(gradients_of(model, loss(), parameters), parameters, strict=True):
        assert torch.equal(gradient, (3 * parameter**2).detach())
    backward(model, loss())
    backward(model, 2 * loss())
    for parameter in parameters:
        torch.testing.assert_close(parameter.grad, 9 * parameter.detach() ** 2)


@pytest.mark.parametrize("name", STEPPED)
def test_every_method_computes_the_same_under_a_scale(unet_model, data, tmp_path, in_fp16, name):
    """To the last bit: a power of two rounds nothing. A gradient that is not divided again would."""
    plain, scaled = unet_model(), unet_model()
    run(name, plain, data, tmp_path / "a", steps=2)
    in_fp16()
    run(name, scaled, data, tmp_path / "b", steps=2)
    assert weights_of(scaled) == weights_of(plain)
    assert scaled.loss_scale == 1


class Overflowing(Denoising):
    """Gradients that fp16 cannot hold, above a scale of 2**14."""

    def gradients(self, model, *batch):
        scalars = super().gradients(model, *batch)
        if model.loss_scale > 2**14:
            next(p for p in model.parameters()).grad.fill_(math.inf)
        return {**scalars, "loss_scale": model.loss_scale}


def overflow(model, data, checkpoint, before_step=lambda n: None):
    settings = PretrainSettings(**small())
    method = watch(Overflowing(settings), before_step)
    return train(model, method, TrainingData(data.retain), settings, 0, checkpoint)[0]


def test_a_step_that_overflows_is_left_out(unet_model, data, tmp_path, in_fp16):
    in_fp16()
    model = unet_model()
    curve = overflow(model, data, tmp_path / "c")
    assert [point["loss_scale"] for point in curve] == [2**16, 2**15, 2**14, 2**14, 2**14, 2**14]
    assert [math.isfinite(point["gradient_norm"]) for point in curve] == [False] * 2 + [True] * 4
    assert all(p.isfinite().all() for p in model.parameters())


def test_killed_and_resumed_under_a_scale(unet_model, data, tmp_path, in_fp16):
    in_fp16()
    whole, resumed = unet_model(), unet_model()
    overflow(whole, data, tmp_path / "a")
    with pytest.raises(Killed):
        overflow(unet_model(), data, tmp_path / "b", kill_at(4))
    curve = overflow(resumed, data, tmp_path / "b")
    assert curve[-1]["loss_scale"] == 2**14
    assert weights_of(resumed) == weights_of(whole)


class Diverged(Denoising):
    def gradients(self, model, *batch):
        scalars = super().gradients(model, *batch)
        next(p for p in model.parameters()).grad.fill_(math.nan)
        return scalars


def test_a_gradient_that_no_scale_mends_ends_the_training(unet_model, data, tmp_path, in_fp16):
    in_fp16()
    settings = PretrainSettings(**small(steps=40))
    with pytest.raises(UserError, match="pretrain: the gradient is nan at step 16: lower its learning_rate"):
        train(unet_model(), Diverged(settings), TrainingData(data.retain), settings, 0, tmp_path / "c")
