"""The methods on a text-to-image model, through the same seam."""

import gc

import numpy as np
import pytest
import torch

from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning import erasediff
from erasediff_pipeline.unlearning.erasediff import EraseDiff, UnlearnSettings, find_lambda
from erasediff_pipeline.unlearning.salun import Salun
from tests.helpers.by_hand import generator, images_of
from tests.helpers.runs import STEPPED, run, small, weights_of

PROMPTS = ["a cat", "a dog", "a cow", "an animal"]
CAT, DOG, COW, ANIMAL = range(4)


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


@pytest.mark.parametrize("name", STEPPED)
def test_the_unet_moves_and_nothing_else(model, data, tmp_path, name):
    before = weights_of(model)
    history, cost, _ = run(name, model, data, tmp_path / "c", steps=2)
    changed = moved(before, model)
    assert {name.split(".")[0] for name in changed} == {"unet"}
    assert len(changed) > 0.6 * len(model.trainable("full"))
    assert len(history) == 2
    assert cost.denoiser_evaluations > 0


@pytest.mark.parametrize("subset", ["xattn", "noxattn", "selfattn", "notime"])
def test_only_the_subset_moves(model, data, tmp_path, subset):
    before = weights_of(model)
    run("erasediff", model, data, tmp_path / "c", steps=2, subset=subset)
    allowed = {f"unet.{name}" for name in model.trainable(subset)}
    assert moved(before, model) <= allowed
    assert len(moved(before, model)) > 0.6 * len(allowed)


def test_a_weight_outside_the_saliency_mask_does_not_move(model, data, tmp_path):
    """And the mask is needed: without it, most of these weights move."""
    before = {name: p.detach().clone() for name, p in model.trainable("xattn").items()}
    settings = {"subset": "xattn", "mask_fraction": 0.3, "mask_batches": 2}
    _, _, method = run("salun", model, data, tmp_path / "c", steps=3, **settings)
    assert isinstance(method, Salun)
    kept = 0
    for name, weight in model.trainable("xattn").items():
        outside = ~method.mask[name]
        assert torch.equal(weight[outside], before[name][outside]), name
        kept += int(outside.sum())
    assert kept == pytest.approx(0.7 * sum(p.numel() for p in before.values()), rel=0.01)
    run("random_label", model, data, tmp_path / "c", steps=3, subset="xattn")
    free = [(p != before[name])[~method.mask[name]] for name, p in model.trainable("xattn").items()]
    assert torch.cat(free).double().mean() > 0.5


def aim_of(model, data, target, seed=0):
    """The noised forget batch under this forget target, and the prediction of each prompt for it."""
    method = EraseDiff(UnlearnSettings(**small(forget_target=target)))
    method.prepare(model, data, FeatureStore(), 0)
    batch = Batch(torch.randn(5, *model.sample_shape), torch.full((5,), DOG))
    noised = method.noise_with_target(model, batch, generator(seed))
    with torch.no_grad():
        of_prompt = [
            model.denoise(noised.x_t, noised.t, model.condition(torch.full((5,), n))) for n in range(4)
        ]
        null = model.denoise(noised.x_t, noised.t, model.null_condition(5))
    return noised.target, of_prompt, null


def test_the_anchor_prompt_is_aimed_at(model, data):
    target, of_prompt, null = aim_of(model, data, "anchor_prompt")
    torch.testing.assert_close(target, of_prompt[ANIMAL])
    assert not torch.allclose(target, null)


def test_the_empty_prompt_is_aimed_at(model, data):
    target, _, null = aim_of(model, data, "null")
    torch.testing.assert_close(target, null)


def test_a_retained_prompt_is_aimed_at(model, data):
    target, of_prompt, _ = aim_of(model, data, "other_class")
    drawn = [
        next(n for n in range(4) if torch.allclose(target[i], of_prompt[n][i], atol=1e-5)) for i in range(5)
    ]
    assert set(drawn) <= {CAT, COW}


def test_noise_is_aimed_at(model, data):
    target, _, _ = aim_of(model, data, "uniform_noise")
    assert target.min() >= 0
    assert target.max() <= 1


@pytest.mark.parametrize("control", ["grad_norm", "value_gap", "cosine", "fixed"])
def test_every_control_steps(model, data, tmp_path, control):
    before = weights_of(model)
    history, _, _ = run("erasediff", model, data, tmp_path / "c", steps=2, control=control)
    assert all(np.isfinite(point["lambda"]) and point["lambda"] >= 0 for point in history)
    assert moved(before, model)


def test_without_an_anchor_none_can_be_aimed_at(model, data, tmp_path):
    with pytest.raises(InvalidRequest, match="needs a request by forget"):
        run("erasediff", model, data._replace(anchor=None), tmp_path / "c", forget_target="anchor_prompt")


def live_bytes():
    """Of all tensors that Python holds, each storage once."""
    tensors = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


@pytest.mark.parametrize("subset", ["full", "noxattn"])
def test_a_step_takes_the_memory_that_the_documentation_says(model, data, tmp_path, monkeypatch, subset):
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
    run("erasediff", model, data, tmp_path / "c", steps=3, subset=subset)
    moving = sum(p.numel() for p in model.trainable(subset).values())
    assert seen[-1] - before == pytest.approx(20 * moving, rel=0.05)


def test_what_was_forgotten_before_is_held(model, data, tmp_path):
    """Two more passes a step over the retain batch of 4, see ``indifference``."""
    costs = [
        run("erasediff", model, d, tmp_path / "c", steps=1)[1].denoiser_evaluations
        for d in (data, data._replace(forgotten_before=[ANIMAL]))
    ]
    assert costs[1] == costs[0] + 2 * 4
