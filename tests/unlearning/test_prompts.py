"""The methods on a text-to-image model, through the same seam."""

import gc

import numpy as np
import pytest
import torch

from erasediff_pipeline.diffusion.objective import noise_batch
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.unlearning import erasediff
from erasediff_pipeline.unlearning.erasediff import find_lambda
from erasediff_pipeline.unlearning.unseen import LEVELS, draw_times
from tests.helpers.by_hand import flat, generator, images_of
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


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, {}) for name in STEPPED),
        *(("erasediff", {"subset": s}) for s in ("xattn", "noxattn", "selfattn", "notime")),
        *(("erasediff", {"control": c}) for c in ("value_gap", "cosine", "fixed")),
    ],
    ids=str,
)
def test_the_subset_of_the_unet_moves_and_nothing_else(model, data, name, changes):
    before = weights_of(model)
    history, cost, _ = run(name, model, data, steps=2, **changes)
    allowed = {f"unet.{name}" for name in model.trainable(changes.get("subset", "full"))}
    after = weights_of(model)
    moved = {name for name in before if after[name] != before[name]}
    assert moved <= allowed
    assert len(moved) > 0.6 * len(allowed)
    assert len(history) == 2
    assert cost.denoiser_evaluations > 0
    if name == "erasediff":
        assert all(0 <= point["lambda"] < np.inf for point in history)


def test_a_weight_outside_the_saliency_mask_does_not_move(model, data):
    """And the mask is needed: without it, most of these weights move."""

    def weights():
        return flat(p.detach() for p in model.trainable("xattn").values())

    before = weights()
    _, _, method = run("salun", model, data, steps=3, subset="xattn", mask_fraction=0.3)
    outside = ~flat(method.mask[name] for name in model.trainable("xattn")).astype(bool)
    assert (weights() == before)[outside].all()
    assert outside.mean() == pytest.approx(0.7, rel=0.01)
    run("random_label", model, data, steps=3, subset="xattn")
    assert (weights() != before)[outside].mean() > 0.5


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
    same = [[torch.allclose(noised.target[i], under[n][i], atol=1e-5) for n in range(5)] for i in range(5)]
    assert {row.index(True) for row in same} == prompts


def test_without_an_anchor_none_can_be_aimed_at(model, data):
    with pytest.raises(InvalidRequest, match="needs a request by forget"):
        run("erasediff", model, data._replace(anchor=None), forget_target="anchor_prompt")


def test_latents_can_have_the_error_of_unseen_ones(model, data):
    method = prepared("erasediff", model, data._replace(unseen=data.retain.select(np.arange(3))))
    batch = Batch(torch.randn(5, *model.sample_shape), torch.full((5,), DOG))
    g = generator()
    before = noise_batch(model, batch.x0, g, t=draw_times(method.factors, 5, model.process.times, g))
    noised = method.noise_with_target(model, batch, generator())
    base = model.denoise(noised.x_t, noised.t, model.condition(batch.labels)).detach()
    s = method.factors[noised.t * LEVELS // 1000].view(-1, 1, 1, 1)
    torch.testing.assert_close(noised.target - before.target, s * (base - before.target))
    assert method.factors.max() > 1


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
    run("erasediff", model, data, steps=3, subset=subset, retain_loss="denoising")
    moving = sum(p.numel() for p in model.trainable(subset).values())
    assert seen[-1] - before == pytest.approx(20 * moving, rel=0.05)
