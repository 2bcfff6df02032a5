"""What holds for every method."""

import json
import math
import sys
from contextlib import nullcontext
from functools import cache
from types import ModuleType

import numpy as np
import pytest
import torch

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.parameters import Parameters
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.registry import METHODS, _find_method
from tests.helpers.by_hand import DATA, NULL, RETAINED, batches, flat, generator, images_of
from tests.helpers.runs import STEPPED, Killed, build, in_8_bits, kill_at, prepared, run, weights_of

KEEPERS = ["salun", "selective_amnesia", "blindspot"]
"""The methods that keep something in the store."""

RETAIN_ONLY = ["finetune", "retrain"]
every_method = pytest.mark.parametrize("name", STEPPED)


def result_of(name, model, data, **options):
    """The weights, curves and evaluations of a run, its cost and the method."""
    history, cost, method = run(name, model, data, steps=4, **options)
    return (weights_of(model), json.dumps(history), cost.denoiser_evaluations), cost, method


@pytest.fixture(scope="module")
def whole(unet_model, data):
    """``whole(name)``: the weights, curves and evaluations of one undisturbed run, with dropout."""

    @cache
    def get(name):
        torch.manual_seed(1)
        return result_of(name, unet_model(dropout=0.3), data)[0]

    return get


@every_method
def test_key_names_the_method_and_its_settings(name):
    entry = METHODS[name]
    method, settings = build(name)
    assert method.name == name
    assert type(getattr(Parameters(), entry.parameters)) is entry.settings
    assert method.subset == getattr(settings, "subset", "full")


def test_a_file_without_its_method_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "erasediff_pipeline.unlearning.empty", ModuleType("empty"))
    with pytest.raises(ImportError, match=r"unlearning/empty.py: expected a class with name = 'empty'"):
        _find_method("empty")


@pytest.mark.parametrize(("name", "reused"), [*((n, True) for n in STEPPED), *((n, False) for n in KEEPERS)])
def test_killed_and_resumed_is_the_same_byte_for_byte(unet_model, data, tmp_path, whole, name, reused):
    """Killed ahead of its last update, with a checkpoint after the second, whatever the global generators.

    With what the killed run has kept, or anew. Most methods keep nothing.
    """
    checkpoint, kept = tmp_path / "c.safetensors", tmp_path / "kept"
    models = unet_model(dropout=0.3), unet_model(dropout=0.3)
    torch.manual_seed(12345)
    np.random.seed(12345)
    with pytest.raises(Killed):
        run(name, models[0], data, checkpoint, 0, kill_at(4), store=FeatureStore(kept), steps=4)
    assert checkpoint.exists()
    assert kept.exists() == (name in KEEPERS)
    store = FeatureStore(kept if reused else None)
    result, _, method = result_of(name, models[1], data, checkpoint=checkpoint, store=store)
    assert result == whole(name)
    assert len(method.calls) == 2
    assert not checkpoint.exists()


@every_method
def test_other_seed_other_bytes(linear_model, data, name):
    models = [linear_model(shape=(1, 8, 8)) for _ in range(2)]
    for seed, model in enumerate(models):
        run(name, model, data, seed=seed, steps=2)
    one, other = map(weights_of, models)
    assert all(one[parameter] != other[parameter] for parameter in one)


@pytest.mark.parametrize("name", KEEPERS)
def test_reuse_changes_neither_result_nor_count_of_evaluations(unet_model, data, tmp_path, whole, name):
    for reused in (False, True):
        store = FeatureStore(tmp_path / "kept")
        result, cost, _ = result_of(name, unet_model(dropout=0.3), data, store=store)
        assert result == whole(name)
        assert (store.reused_seconds > 0) == reused
        assert cost.wall_seconds > store.reused_seconds


@every_method
@pytest.mark.parametrize("subset", ["selfattn", "class_embedding"])
def test_only_the_subset_moves(unet_model, data, name, subset):
    model = unet_model()
    before = weights_of(model)
    run(name, model, data, steps=2, **({} if name == "retrain" else {"subset": subset}))
    after = weights_of(model)
    moved = {n.removeprefix("unet.") for n in before if before[n] != after[n]}
    allowed = set(model.trainable("full" if name == "retrain" else subset))
    assert moved <= allowed
    assert len(moved) > 0.6 * len(allowed)
    assert all(p.requires_grad for p in model.parameters())
    assert not model.training


@every_method
def test_rough_precision_roughly_gives_the_same_gradient(unet_model, data, name):
    """Under bf16 no weight may be cut off from its gradient, nor fall out of the second of two terms."""
    gradients = []
    for rough in (False, True):
        model = unet_model()
        method = prepared(name, model, data)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=rough):
            method.gradients(model, *batches(0, 32, 30, shape=(1, 8, 8)), generator())
        assert all(p.grad is not None for p in model.parameters())
        gradients.append(flat(p.grad for p in model.parameters()))
    exact, rough = gradients
    assert exact @ rough / np.linalg.norm(exact) / np.linalg.norm(rough) > 0.98
    assert np.linalg.norm(rough) == pytest.approx(np.linalg.norm(exact), rel=0.1)


@pytest.mark.parametrize("name", ["finetune", "blindspot"])
def test_precision_is_that_of_the_settings(unet_model, data, name):
    """Also where a method trains something of its own first."""
    model, seen = unet_model(dropout=0.3), []
    model.unet.conv_out.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    run(name, model, data, mixed_precision="bf16", steps=2)
    assert set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", [name for name in STEPPED if name not in RETAIN_ONLY])
def test_forget_and_retain_have_timesteps_and_conditions_of_their_own(linear_model, name):
    """Only the retain set's conditions are dropped."""
    model = linear_model()
    method = prepared(name, model, DATA, condition_dropout=0.9)
    model.calls.clear()
    forget, retain = batches(0, retain_size=300, forget_size=299)
    method.gradients(model, forget, retain, generator())
    calls = {len(call.x_t): call for call in model.calls if call.grad}
    of_retain, of_forget = calls[300], calls[299]
    assert (of_retain.t[:299] == of_forget.t).double().mean() < 0.05
    assert abs(np.corrcoef(of_retain.t[:299], of_forget.t)[0, 1]) < 0.2
    assert 0.8 < (of_retain.c == NULL).double().mean() < 0.97
    assert (of_forget.c == 0).all()


@every_method
def test_what_is_logged_are_plain_numbers_and_a_forget_batch_is_needed(linear_model, name):
    model = linear_model()
    method = prepared(name, model, DATA)
    scalars = method.gradients(model, *batches(0), generator())
    assert all(type(value) is float and math.isfinite(value) for value in scalars.values())
    assert "loss" in scalars if name in RETAIN_ONLY else "forget_loss" in scalars
    with nullcontext() if name in RETAIN_ONLY else pytest.raises(AssertionError):
        method.gradients(model, None, batches(0)[1], generator())


@pytest.mark.parametrize(
    ("name", "settings", "preparation", "step"),
    [
        ("finetune", {}, 0, 6),
        ("retrain", {}, 0, 6),
        ("neggrad", {"retain_weight": 0.5}, 0, 6 + 4),
        ("neggrad", {"retain_weight": 0.0}, 0, 4),
        ("random_label", {"aim": "prediction"}, 0, 6 + 2 * 4),
        ("random_label", {"aim": "image"}, 0, 6 + 4),
        ("salun", {"mask_batches": 3}, 3 * 4, 6 + 2 * 4),
        ("esd", {"retain_weight": 0.0}, 0, 3 * 4),
        ("esd", {"retain_weight": 1.0}, 0, 3 * 4 + 6),
        ("blindspot", {"proxy_steps": 5}, 5 * 4, 6 + 2 * 4),
        ("selective_amnesia", {}, 6 * 15 * 2 + 2 * 4, 6 + 4),  # 15 sampling steps with guidance
        ("erasediff", {"retain_loss": "denoising"}, 0, 6 + 2 * 4),
        ("erasediff", {"control": "value_gap", "inner_steps": 3}, 0, 2 * 6 + 2 * 4 + 4 * 4),
        ("erasediff", {}, 0, 2 * 6 + 2 * 4),
        ("erasediff_robust", {"attack_steps": 2}, 0, 2 * 6 + 2 * 4 + 2 * 4),
    ],
)
def test_cost_counts_teachers_proxies_and_inner_steps(linear_model, name, settings, preparation, step):
    """In images; a retain batch has 6, a forget batch 4, one of the preparation 4."""
    model = linear_model()
    method = prepared(name, model, DATA, **settings)
    assert model.evaluations == preparation
    method.gradients(model, *batches(0), generator())
    assert model.evaluations == preparation + step


@pytest.mark.parametrize(
    ("name", "attribute", "settings"),
    [
        ("esd", "base", {}),
        ("blindspot", "proxy", {}),
        ("erasediff", "teacher", {"retain_loss": "distillation"}),
    ],
)
def test_a_copy_is_frozen_and_without_dropout(unet_model, data, name, attribute, settings):
    model = unet_model(dropout=0.5).train()
    method = prepared(name, model, data, **settings)
    copied = getattr(method, attribute)
    before = weights_of(copied)
    method.gradients(model, *batches(0, shape=(1, 8, 8)), generator())
    assert all(p.grad is None and not p.requires_grad for p in copied.parameters())
    assert not any(module.training for module in copied.modules())
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    _, _, method = run(name, model, data, **settings)
    assert weights_of(getattr(method, attribute)) == weights_of(copied) == before


@pytest.mark.parametrize("name", [name for name in STEPPED if name != "retrain"])
def test_training_starts_from_the_base_model_with_dropout(unet_model, data, name):
    """A rate that is as good as zero leaves the weights where they were. Preparing switches dropout off."""
    model, base, modes = unet_model(dropout=0.3).eval(), unet_model(), []
    changes = {"steps": 1, "learning_rate": 1e-12, "before_step": lambda n: modes.append(model.training)}
    run(name, model, data, **changes)
    assert all((p - q).abs().max() < 1e-6 for p, q in zip(model.parameters(), base.parameters(), strict=True))
    assert modes == [True]


@pytest.mark.parametrize(
    ("name", "changes", "computed"),
    [
        *(("salun", change, ["saliency_mask"]) for change in (
            {"mask_fraction": 0.4}, {"mask_batches": 3}, {"batch_size": 5}, {"mixed_precision": "bf16"},
            {"subset": "class_embedding"}, {"seed": 1}, {"base": 1}, {"forget": [0] * 8},
        )),
        ("salun", {"learning_rate": 0.5, "retain": RETAINED}, []),
        *(("selective_amnesia", change, ["fisher", "replay"]) for change in (
            {"seed": 1}, {"base": 1}, {"mixed_precision": "bf16"},
        )),
        *(("selective_amnesia", change, ["fisher"]) for change in (
            {"fisher_batches": 3}, {"fisher_batch_size": 3}, {"subset": "class_embedding"},
            {"forget": [0] * 3},
        )),
        *(("selective_amnesia", change, ["replay"]) for change in (
            {"replay_images": 4}, {"replay_sampling": {"steps": 3}},
        )),
        ("selective_amnesia", {"learning_rate": 0.5, "ewc_weight": 3.0, "replay_weight": 0.1}, []),
        *(("blindspot", change, ["proxy"]) for change in (
            {"proxy_steps": 6}, {"proxy_learning_rate": 0.01}, {"batch_size": 5}, {"mixed_precision": "bf16"},
            {"seed": 1}, {"retain": RETAINED},
        )),
        pytest.param("blindspot", {"optimiser": "adamw_8bit"}, ["proxy"], marks=in_8_bits),
        ("blindspot", {"learning_rate": 0.5, "retain_weight": 0.1, "forget": [0] * 3}, []),
    ],
    ids=str,
)  # fmt: skip
def test_only_what_has_other_inputs_is_computed_again(linear_model, tmp_path, name, changes, computed):
    """Neither depends on the settings of the training alone; the proxy depends on the retain set only."""
    changes = dict(changes)
    sets = {key: images_of(changes.pop(key)) for key in ("retain", "forget") if key in changes}
    first, second = linear_model(), linear_model(changes.pop("base", 0))
    prepared(name, first, DATA, FeatureStore(tmp_path))
    kept, store = {path: path.read_bytes() for path in tmp_path.iterdir()}, FeatureStore(tmp_path)
    prepared(name, second, DATA._replace(**sets), store, **changes)
    assert sorted(path.stem for path in kept if path.read_bytes() != kept[path]) == computed
    if not computed:
        assert second.evaluations == first.evaluations > 0
        assert store.reused_seconds > 0


CLASSES_ONLY = [name for name in STEPPED if METHODS[name].classes_only]


@pytest.mark.parametrize(
    ("name", "retained", "said"),
    [
        *((name, [1], "needs a retained class other than") for name in ("random_label", "salun")),
        *((name, [1, 2], "forgets conditions, not single images") for name in CLASSES_ONLY),
    ],
)
def test_images_whose_class_is_retained_or_the_only_one_are_refused(linear_model, name, retained, said):
    data = TrainingData(retain=images_of(retained), forget=images_of([1]))
    with pytest.raises(InvalidRequest, match=f"{name} {said}"):
        prepared(name, linear_model(), data)


@pytest.fixture(scope="module")
def base(unet_model, toy_images):
    """``base()``: a model that knows the toy classes, more or less."""
    model, settings = unet_model(), PretrainSettings(steps=60, batch_size=8, learning_rate=5e-3)
    train(model, Denoising(settings), TrainingData(toy_images), settings, 0)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def make():
        copy = unet_model()
        copy.load_state_dict(state)
        return copy

    return make


LONGER = {
    "blindspot": {"proxy_steps": 20, "proxy_learning_rate": 5e-3},
    "neggrad": {"retain_weight": 0.5},
    "selective_amnesia": {"ewc_weight": 0.01},  # a base model of 60 steps has a large Fisher diagonal
}


def objective(method, model, data):
    """The loss that the method logs for the forget set, or for what it trains on, on fixed draws."""
    sets = (images.tensors(slice(0, 24)) for images in (data.forget, data.retain))
    both = (Batch(model.encode(pixels), labels) for pixels, labels in sets)
    scalars = method.gradients(model, *both, generator(5))
    return scalars["loss"] if method.name in RETAIN_ONLY else scalars["forget_loss"]


@every_method
def test_it_learns(base, unet_model, data, name):
    """The objective falls; the forget loss that NegGrad ascends rises."""
    make = unet_model if name == "finetune" else base  # there is little left to learn of the retain set
    model, start = make(), make()
    options = {"steps": 12, "batch_size": 8, "learning_rate": 4e-3, "ema_decay": 0}
    _, _, method = run(name, model, data, **LONGER.get(name, {}), **options)
    if name == "retrain":
        method.prepare(start, data, FeatureStore(), seed=0)
    before, after = objective(method, start, data), objective(method, model, data)
    assert after > 1.5 * before if name == "neggrad" else after < 0.9 * before
