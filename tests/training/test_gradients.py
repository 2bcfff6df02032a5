import math
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.training import gradients, loop
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.gradients import GROWTH_INTERVAL, START, LossScale
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.training.processes import Share
from tests.helpers.by_hand import batches, flat
from tests.helpers.runs import STEPPED, kill, run, small, watch, weights_of


@pytest.fixture
def in_fp16(monkeypatch):
    """The loop as on a GPU in fp16, but for the precision itself, in which a CPU is far too slow."""
    place = {"device": torch.device("cpu"), "num_processes": 1, "process_index": 0}
    does = {"mixed_precision": "fp16", "autocast": nullcontext, "clip_grad_norm_": clip_grad_norm_}
    accelerator = SimpleNamespace(**place, **does)
    return lambda: monkeypatch.setattr(loop, "start_accelerator", lambda _, machine: (accelerator, machine))


def test_the_scale_halves_where_gradients_overflow_and_doubles_after_long():
    scale = LossScale(active=True)
    scale.update(finite=False)
    assert (scale.scale, scale.good_steps) == (START / 2, 0)
    for step in range(1, GROWTH_INTERVAL):
        scale.update(finite=True)
        assert (scale.scale, scale.good_steps) == (START / 2, step)
    scale.update(finite=True)
    assert (scale.scale, scale.good_steps) == (START, 0)
    scale.scale, scale.good_steps = gradients.HIGHEST, GROWTH_INTERVAL - 1
    scale.update(finite=True)
    assert scale.scale == gradients.HIGHEST


def test_without_fp16_the_scale_is_one_for_good():
    scale = LossScale(active=False)
    scale.update(finite=False)
    assert (scale.scale, scale.exhausted) == (1, True)


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_gradients_are_those_of_the_loss(linear_model, scale):
    model = linear_model()
    model.loss_scale = scale
    parameters = list(model.parameters())

    def loss():
        return sum((p**3).sum() for p in parameters)

    found = gradients.gradients_of(model, loss(), parameters)
    assert all(map(torch.equal, found, [3 * p.detach() ** 2 for p in parameters]))
    gradients.backward(model, loss())
    gradients.backward(model, 2 * loss())
    for parameter in parameters:
        torch.testing.assert_close(parameter.grad, 9 * parameter.detach() ** 2)


@pytest.mark.parametrize("name", STEPPED)
def test_every_method_computes_the_same_under_a_scale(unet_model, data, in_fp16, name):
    """To the last bit: a power of two rounds nothing. A gradient that is not divided again would differ."""
    plain, scaled = unet_model(), unet_model()
    run(name, plain, data, steps=2)
    in_fp16()
    run(name, scaled, data, steps=2)
    assert weights_of(scaled) == weights_of(plain)
    assert scaled.loss_scale == 1


class Spoilt(Denoising):
    """``spoil``: loss scale → the number that takes the place of a gradient, if any."""

    def __init__(self, settings, spoil):
        super().__init__(settings)
        self.spoil = spoil

    def gradients(self, model, *batch):
        scalars = super().gradients(model, *batch)
        if spoilt := self.spoil(model.loss_scale):
            next(model.parameters()).grad.fill_(spoilt)
        return {**scalars, "loss_scale": model.loss_scale}


def train_spoilt(model, data, spoil, checkpoint=None, before_step=lambda n: None, **changes):
    settings = PretrainSettings(**small(**changes))
    method = watch(Spoilt(settings, spoil), before_step)
    return train(model, method, TrainingData(data.retain), settings, 0, checkpoint)[0]


def overflow(scale):
    """fp16 cannot hold these gradients above a scale of 2**14."""
    return math.inf if scale > 2**14 else None


def test_a_step_that_overflows_is_skipped(unet_model, data, in_fp16):
    in_fp16()
    model = unet_model()
    curve = train_spoilt(model, data, overflow)
    assert [point["loss_scale"] for point in curve] == [2**16, 2**15, 2**14, 2**14, 2**14, 2**14]
    assert [math.isfinite(point["gradient_norm"]) for point in curve] == [False] * 2 + [True] * 4
    assert all(p.isfinite().all() for p in model.parameters())


def test_killed_and_resumed_under_a_scale(unet_model, data, tmp_path, in_fp16):
    in_fp16()
    whole, resumed = unet_model(), unet_model()
    train_spoilt(whole, data, overflow)
    kill(train_spoilt, unet_model(), data, overflow, tmp_path / "b")
    curve = train_spoilt(resumed, data, overflow, tmp_path / "b")
    assert curve[-1]["loss_scale"] == 2**14
    assert weights_of(resumed) == weights_of(whole)


def test_a_gradient_that_no_scale_makes_finite_ends_the_training(unet_model, data, in_fp16):
    in_fp16()
    with pytest.raises(UserError, match="pretrain: the gradient is nan at step 16: lower its learning_rate"):
        train_spoilt(unet_model(), data, lambda scale: math.nan, steps=40)


class Squares:
    """A method without noise: the mean square of the prediction for the retain batch."""

    name = "squares"

    def gradients(self, model, forget_batch, retain_batch, generator):
        t = torch.zeros(len(retain_batch.x0), dtype=torch.int64)
        loss = model.denoise(retain_batch.x0, t, retain_batch.labels).square().mean()
        loss.backward()
        return {"loss": loss.item(), "forget_images": len(forget_batch.x0)}


def test_a_batch_in_parts_has_the_gradient_of_the_whole(linear_model):
    forget, retain = batches(0)
    results = []
    for parts in (1, 2):
        model = linear_model()
        scalars = gradients.accumulate(model, Squares(), forget, retain, 0, 0, Share(range(parts), parts))
        results.append((scalars["loss"], flat([p.grad for p in model.parameters()])))
        assert scalars["forget_images"] == 4 / parts
    assert results[0][0] == pytest.approx(results[1][0])
    np.testing.assert_allclose(*(gradient for _, gradient in results), rtol=1e-5)
    assert np.abs(results[0][1]).max() > 0.01
