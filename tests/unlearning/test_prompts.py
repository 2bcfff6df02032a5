"""The methods on a text-to-image model, through the same seam."""

import gc

import numpy as np
import pytest
import torch

from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.unlearning import erasediff
from erasediff_pipeline.unlearning.erasediff import find_lambda
from erasediff_pipeline.unlearning.salun import Salun
from tests.helpers.by_hand import generator, images_of
from tests.helpers.runs import STEPPED, prepared, run, weights_of

PROMPTS = ["a cat", "a dog", "a cow", "an animal"]
CAT, DOG, COW, ANIMAL, EMPTY = range(5)


@pytest.fixture
def model(text_model):
    return text_model(PROMPTS)


@pytest.fixture(scope="module")
def data():
    """The dog is to be forgotten, and to become an animal."""
    retain, forget = images_of([CAT, COW] * 4, (3, 16, 16)), images_of([DOG] * 6, (3, 16, 16), seed=1)
    return TrainingData(retain=retain, forget=forget, anchor=ANIMAL)


def moved(before, model):
    return {name for name, value in weights_of(model).items() if value != before[name]}


@pytest.mark.parametrize(
    ("name", "subset"),
    [
        *((name, "full") for name in STEPPED),
        *(("erasediff", s) for s in ("xattn", "noxattn", "selfattn", "notime")),
    ],
)
def test_the_subset_of_the_unet_moves_and_nothing_else(model, data, name, subset):
    before = weights_of(model)
    history, cost, _ = run(name, model, data, steps=2, **({} if name == "retrain" else {"subset": subset}))
    allowed = {f"unet.{name}" for name in model.trainable(subset)}
    assert moved(before, model) <= allowed
    assert len(moved(before, model)) > 0.6 * len(allowed)
    assert len(history) == 2
    assert cost.denoiser_evaluations > 0


def test_a_weight_outside_the_saliency_mask_does_not_move(model, data):
    """And the mask is needed: without it, most of these weights move."""
    before = {name: p.detach().clone() for name, p in model.trainable("xattn").items()}
    settings = {"subset": "xattn", "mask_fraction": 0.3, "mask_batches": 2}
    _, _, method = run("salun", model, data, steps=3, **settings)
    assert isinstance(method, Salun)
    kept = 0
    for name, weight in model.trainable("xattn").items():
        outside = ~method.mask[name]
        assert torch.equal(weight[outside], before[name][outside]), name
        kept += int(outside.sum())
    assert kept == pytest.approx(0.7 * sum(p.numel() for p in before.values()), rel=0.01)
    run("random_label", model, data, steps=3, subset="xattn")
    free = [(p != before[name])[~method.mask[name]] for name, p in model.trainable("xattn").items()]
    assert torch.cat(free).double().mean() > 0.5


@pytest.mark.parametrize(
    ("target", "prompts"),
    [("anchor_prompt", {ANIMAL}), ("null", {EMPTY}), ("other_class", {CAT, COW}), ("next_class", {COW})],
)
def test_the_target_is_the_prediction_under_another_prompt(model, data, target, prompts):
    method = prepared("erasediff", model, data, forget_target=target)
    batch = Batch(torch.randn(5, *model.sample_shape), torch.full((5,), DOG))
    noised = method.noise_with_target(model, batch, generator())
    with torch.no_grad():
        under = [model.denoise(noised.x_t, noised.t, model.condition(torch.full((5,), n))) for n in range(5)]
    drawn = [
        next(n for n in range(5) if torch.allclose(noised.target[i], under[n][i], atol=1e-5))
        for i in range(5)
    ]
    assert set(drawn) == prompts


@pytest.mark.parametrize("control", ["grad_norm", "value_gap", "cosine", "fixed"])
def test_every_control_steps(model, data, control):
    before = weights_of(model)
    history, _, _ = run("erasediff", model, data, steps=2, control=control)
    assert all(np.isfinite(point["lambda"]) and point["lambda"] >= 0 for point in history)
    assert moved(before, model)


def test_without_an_anchor_none_can_be_aimed_at(model, data):
    with pytest.raises(InvalidRequest, match="needs a request by forget"):
        run("erasediff", model, data._replace(anchor=None), forget_target="anchor_prompt")


def live_bytes():
    """Of all tensors that Python holds, each storage once."""
    tensors = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


@pytest.mark.parametrize("subset", ["full", "noxattn"])
def test_a_step_takes_the_memory_that_the_documentation_says(model, data, monkeypatch, subset):
    """At its fullest, 20 bytes for each weight that moves: two gradients, Adam's two moments, the mean."""
    seen = []

    def watch(*arguments):
        seen.append(live_bytes())
        return find_lambda(*arguments)

    monkeypatch.setattr(erasediff, "find_lambda", watch)
    model.encode(data.retain.tensors()[0]), model.encode(data.forget.tensors()[0])
    model.null_condition(1)
    gc.collect()
    before = live_bytes()
    run("erasediff", model, data, steps=3, subset=subset)
    moving = sum(p.numel() for p in model.trainable(subset).values())
    assert seen[-1] - before == pytest.approx(20 * moving, rel=0.05)
