import numpy as np
import pytest
import torch

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning import blindspot as module
from erasediff_pipeline.unlearning.blindspot import Blindspot, BlindspotSettings
from erasediff_pipeline.unlearning.retrain import Retrain
from tests.helpers.by_hand import NULL, RETAINED, Step, Weights, assert_update, batches, generator, images_of
from tests.helpers.runs import Killed, run, small, watch, weights_of

DATA = TrainingData(retain=images_of(RETAINED * 3), forget=images_of([0] * 4, seed=1))


def prepared(model, data=DATA, store=None, seed=0, **settings):
    method = Blindspot(BlindspotSettings(**{**small(), "proxy_steps": 5, **settings}))
    method.prepare(model, data, store or FeatureStore(), seed)
    return method


@pytest.fixture
def no_training(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("the proxy is trained")

    return lambda: monkeypatch.setattr(module, "train", refuse)


@pytest.mark.parametrize("beta", [0.0, 0.7, 1.0])
def test_update_pulls_the_forgotten_condition_to_the_proxy(linear_model, alpha_bar, beta):
    for seed in range(5):
        model = linear_model(seed)
        method = prepared(model, seed=seed, retain_weight=beta, proxy_learning_rate=0.1)
        proxy = Weights(method.proxy)
        step = Step(model, method, alpha_bar, seed)
        target = proxy.predict(step.forget.x_t, [0] * 4)
        (retain_loss, g_retain), (forget_loss, g_forget) = step.retain_loss(), step.forget_loss(target)
        assert step.forget.c.tolist() == [0] * 4
        assert_update(step, g_forget + beta * g_retain)
        assert step.scalars == {
            "retain_loss": pytest.approx(retain_loss, rel=1e-4),
            "forget_loss": pytest.approx(forget_loss, rel=1e-4),
        }


def test_proxy_and_model_see_the_same_noised_images(linear_model, alpha_bar):
    model = linear_model()
    method = prepared(model)
    step = Step(model, method, alpha_bar)
    call = method.proxy.calls[-1]
    assert torch.equal(call.x_t, step.forget.x_t)
    assert torch.equal(call.t, step.forget.t)
    assert not call.grad


def test_proxy_is_shown_the_retain_set_only(linear_model):
    method = prepared(linear_model(), proxy_steps=30)
    assert {c for call in method.proxy.calls for c in call.c.tolist()} == {*RETAINED, NULL}
    seen = {tuple(x) for x in torch.cat(method.proxy.noised).flatten(1).tolist()}
    retain = method.proxy.encode(torch.from_numpy(DATA.retain.images)).flatten(1)
    assert seen == {tuple(x) for x in retain.tolist()}


def test_proxy_does_not_depend_on_forget_set_and_base_model(unet_model, data):
    """The base model has seen the forget set."""
    blank = LabelledImages(np.zeros_like(data.forget.images), data.forget.labels)
    first = prepared(unet_model(seed=1), data)
    second = prepared(unet_model(seed=2), TrainingData(data.retain, blank))
    assert weights_of(first.proxy) == weights_of(second.proxy)


def test_proxy_depends_on_retain_set_and_seed(unet_model, data):
    fewer = TrainingData(data.retain.select(slice(0, 30)), data.forget)
    proxies = [prepared(unet_model(), d, seed=seed) for d, seed in ((data, 0), (fewer, 0), (data, 1))]
    first, *others = [weights_of(method.proxy) for method in proxies]
    assert all(first != other for other in others)


def test_proxy_is_trained_as_the_base_model_was(unet_model, data, tmp_path, monkeypatch):
    """Retraining with as many steps at the same rate, once the draws of both have the same name."""
    monkeypatch.setattr(module.Proxy, "name", "retrain")
    options = {"subset": "selfattn", "proxy_steps": 4, "proxy_learning_rate": 0.01, "condition_dropout": 0.5}
    proxy = prepared(unet_model(), data, **options).proxy
    settings = PretrainSettings(steps=4, learning_rate=0.01, batch_size=4, condition_dropout=0.5)
    model = unet_model()
    train(model, Retrain(settings), data, settings, 0, tmp_path / "c")
    assert weights_of(proxy) == weights_of(model)


def test_proxy_spares_memory_as_the_method_does(unet_model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(module.Proxy, "name", "retrain")
    memory = {"accumulation": 2, "gradient_checkpointing": True, "mixed_precision": "bf16"}
    proxy = prepared(unet_model(), data, proxy_steps=4, proxy_learning_rate=0.01, **memory).proxy
    settings = PretrainSettings(steps=4, learning_rate=0.01, batch_size=4, **memory)
    model = unet_model()
    train(model, Retrain(settings), data, settings, 0, tmp_path / "c")
    assert weights_of(proxy) == weights_of(model)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_proxy_sees_no_more_than_a_part_at_a_time(linear_model, parts):
    method = prepared(linear_model(), accumulation=parts)
    assert {len(call.x_t) for call in method.proxy.calls} == {4 // parts}


def test_proxy_is_frozen_and_without_dropout(unet_model, data):
    model = unet_model(dropout=0.5).train()
    before = weights_of(model)
    method = prepared(model, data)
    proxy = weights_of(method.proxy)
    method.gradients(model, *batches(0, shape=(1, 8, 8)), generator())
    assert weights_of(method.proxy) == proxy
    assert all(p.grad is None and not p.requires_grad for p in method.proxy.parameters())
    assert not any(m.training for m in method.proxy.modules())
    assert weights_of(model) == before
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


def test_proxy_does_not_follow_a_training(unet_model, data, tmp_path):
    _, _, method = run("blindspot", unet_model(), data, tmp_path / "c")
    assert weights_of(method.proxy) == weights_of(prepared(unet_model(), data, proxy_steps=3).proxy)


def test_model_starts_from_the_base_weights(unet_model, data, tmp_path):
    model, base = unet_model(), unet_model()
    run("blindspot", model, data, tmp_path / "c", steps=1, learning_rate=1e-12)
    assert all((p - q).abs().max() < 1e-6 for p, q in zip(model.parameters(), base.parameters(), strict=True))


@pytest.mark.parametrize("seed", [0, 1])
def test_proxy_is_reused_at_the_same_cost(unet_model, data, tmp_path, no_training, seed):
    """Also for another forget set with the same retain set, and other settings of the distillation."""
    first, second = unet_model(), unet_model(seed=9)
    computed = prepared(first, data, FeatureStore(tmp_path), seed)
    no_training()
    store = FeatureStore(tmp_path)
    other = TrainingData(data.retain, data.forget.select(slice(0, 3)))
    reused = prepared(second, other, store, seed, learning_rate=0.5, retain_weight=0.1)
    assert weights_of(reused.proxy) == weights_of(computed.proxy)
    assert first.evaluations == second.evaluations == 5 * 4
    assert store.reused_seconds > 0
    assert not any(p.requires_grad for p in reused.proxy.parameters())
    assert not reused.proxy.training


@pytest.mark.parametrize(
    "change",
    [
        {"proxy_steps": 6},
        {"proxy_learning_rate": 0.01},
        {"batch_size": 5},
        {"mixed_precision": "bf16"},
        {"optimiser": "adamw_8bit"},
        {"seed": 1},
        {"retain": 1},
    ],
)
def test_proxy_of_other_inputs_is_trained_anew(linear_model, tmp_path, no_training, change):
    prepared(linear_model(), store=FeatureStore(tmp_path))
    settings = dict(change)
    data = DATA._replace(retain=images_of(RETAINED)) if settings.pop("retain", 0) else DATA
    no_training()
    with pytest.raises(AssertionError, match="the proxy is trained"):
        prepared(linear_model(), data, FeatureStore(tmp_path), **settings)


def test_killed_while_the_proxy_trains(unet_model, data, monkeypatch, tmp_path):
    """Its training has a checkpoint of its own and goes on from there."""
    whole = weights_of(prepared(unet_model(), data).proxy)
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
        prepared(unet_model(), data, store)
    assert list(tmp_path.iterdir()) == [tmp_path / "blindspot-proxy"]
    assert weights_of(prepared(unet_model(), data, store).proxy) == whole
    assert len(calls) == 4 + 3
    assert list(tmp_path.iterdir()) == []


def test_an_update_costs_the_proxy_too(linear_model, alpha_bar):
    model = linear_model()
    method = prepared(model, proxy_steps=5, batch_size=3)
    assert model.evaluations == 5 * 3
    Step(model, method, alpha_bar)
    assert model.evaluations == 5 * 3 + 6 + 2 * 4
