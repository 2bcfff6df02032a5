from functools import partial

import numpy as np
import pytest
import torch

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning import blindspot as module
from erasediff_pipeline.unlearning.retrain import Retrain
from tests.helpers import runs
from tests.helpers.by_hand import DATA, NULL, RETAINED, Step, Weights, assert_update
from tests.helpers.runs import Killed, watch, weights_of

prepared = partial(runs.prepared, "blindspot")


@pytest.mark.parametrize("beta", [0.0, 0.7, 1.0])
def test_update_pulls_the_forgotten_condition_to_the_proxy(linear_model, alpha_bar, beta):
    for seed in range(5):
        model = linear_model(seed)
        method = prepared(model, DATA, seed=seed, retain_weight=beta, proxy_learning_rate=0.1)
        proxy = Weights(method.proxy)
        step = Step(model, method, alpha_bar, seed)
        target, asked = proxy.predict(step.forget.x_t, [0] * 4), method.proxy.calls[-1]
        assert torch.equal(asked.x_t, step.forget.x_t)
        assert torch.equal(asked.t, step.forget.t)
        assert not asked.grad
        (retain_loss, g_retain), (forget_loss, g_forget) = step.retain_loss(), step.forget_loss(target)
        assert step.forget.c.tolist() == [0] * 4
        assert_update(step, g_forget + beta * g_retain)
        losses = {"retain_loss": retain_loss, "forget_loss": forget_loss}
        assert step.scalars == pytest.approx(losses, rel=1e-4)


def test_proxy_is_shown_the_retain_set_only(linear_model):
    method = prepared(linear_model(), DATA, proxy_steps=30)
    assert {c for call in method.proxy.calls for c in call.c.tolist()} == {*RETAINED, NULL}
    seen = {tuple(x) for x in torch.cat(method.proxy.noised).flatten(1).tolist()}
    retain = method.proxy.encode(torch.from_numpy(DATA.retain.images)).flatten(1)
    assert seen == {tuple(x) for x in retain.tolist()}


def test_proxy_depends_on_retain_set_and_seed_and_on_nothing_else(unet_model, data):
    """The base model has seen the forget set."""
    blank = LabelledImages(np.zeros_like(data.forget.images), data.forget.labels)

    def proxy(base=1, seed=0, **sets):
        return weights_of(prepared(unet_model(base), data._replace(**sets), seed=seed).proxy)

    first = proxy()
    assert proxy(base=2, forget=blank) == first
    assert proxy(retain=data.retain.select(slice(0, 30))) != first
    assert proxy(seed=1) != first


@pytest.mark.parametrize(
    "memory", [{}, {"accumulation": 2, "gradient_checkpointing": True, "mixed_precision": "bf16"}]
)
def test_proxy_is_trained_as_the_base_model_was(unet_model, data, monkeypatch, memory):
    """Retraining with as many steps at the same rate, once the draws of both have the same name."""
    monkeypatch.setattr(module.Proxy, "name", "retrain")
    options = {"subset": "selfattn", "proxy_steps": 4, "proxy_learning_rate": 0.01}
    proxy = prepared(unet_model(), data, **options, **memory).proxy
    settings = PretrainSettings(steps=4, learning_rate=0.01, batch_size=4, **memory)
    model = unet_model()
    train(model, Retrain(settings), data, settings, 0)
    assert weights_of(proxy) == weights_of(model)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_proxy_sees_no_more_than_a_part_at_a_time(linear_model, parts):
    method = prepared(linear_model(), DATA, accumulation=parts)
    assert {len(call.x_t) for call in method.proxy.calls} == {4 // parts}


def test_killed_while_the_proxy_trains(unet_model, data, monkeypatch, tmp_path):
    """Its training has a checkpoint of its own and goes on from there."""
    whole = weights_of(prepared(unet_model(), data, proxy_steps=5).proxy)
    calls = []

    def patched(model, method, data, settings, seed, checkpoint):
        often = settings.model_copy(update={"checkpoint_every": 2})
        return train(model, watch(method, step), data, often, seed, checkpoint)

    def step(n):
        calls.append(n)
        if len(calls) == 4:
            raise Killed

    monkeypatch.setattr(module, "train", patched)
    store = FeatureStore(checkpoint=tmp_path.joinpath)
    with pytest.raises(Killed):
        prepared(unet_model(), data, store, proxy_steps=5)
    assert list(tmp_path.iterdir()) == [tmp_path / "blindspot-proxy"]
    assert weights_of(prepared(unet_model(), data, store, proxy_steps=5).proxy) == whole
    assert len(calls) == 4 + 3
    assert list(tmp_path.iterdir()) == []
