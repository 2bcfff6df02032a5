import json
import time
from itertools import chain

import numpy as np
import pytest
import torch
from diffusers.training_utils import EMAModel
from pydantic import ValidationError

from erasediff_pipeline.config import MachineSettings, PretrainSettings
from erasediff_pipeline.diffusion.models.stable_diffusion import StableDiffusion
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.training import checkpoint as checkpoints
from erasediff_pipeline.training import loop
from erasediff_pipeline.training.checkpoint import fingerprint_run
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.unlearning.erasediff import EraseDiffSettings
from erasediff_pipeline.unlearning.registry import METHODS
from tests.helpers.by_hand import flat, images_of
from tests.helpers.runs import (
    STEPPED,
    Killed,
    in_8_bits,
    kill,
    kill_at,
    run,
    small,
    weights_of,
    without_class_0,
)


def unlearn(*given, **changes):
    return run("erasediff", *given, **changes)


def pretrain(model, data, *given, **changes):
    return run("pretrain", model, TrainingData(data.retain), *given, **changes)


@pytest.mark.parametrize("call", [4, 6])
@pytest.mark.parametrize(
    ("start", "changes"),
    [
        (unlearn, {"schedule": "one_cycle", "ema_decay": 0.5}),
        (unlearn, {"schedule": "constant", "ema_decay": 0.0, "weight_decay": 0.1}),
        pytest.param(unlearn, {"optimiser": "adamw_8bit", "schedule": "one_cycle"}, marks=in_8_bits),
        (unlearn, {"subset": "selfattn"}),
        (unlearn, {"retain_loss": "distillation"}),  # the teacher is the base model, not the checkpoint
        (unlearn, {"forgotten_before": (1, 2)}),
        (pretrain, {"schedule": "one_cycle", "ema_decay": 0.5}),
        (pretrain, {"schedule": "constant", "ema_decay": 0.0, "weight_decay": 0.1}),
        pytest.param(pretrain, {"optimiser": "adamw_8bit", "weight_decay": 0.1}, marks=in_8_bits),
    ],
)
def test_killed_and_resumed_is_the_same_byte_for_byte(unet_model, data, tmp_path, start, changes, call):
    changes = dict(changes)
    data = data._replace(forgotten_before=changes.pop("forgotten_before", ()))
    whole, resumed = unet_model(dropout=0.3), unet_model(dropout=0.3)
    history, cost, _ = start(whole, data, tmp_path / "a.safetensors", **changes)
    checkpoint = tmp_path / "b.safetensors"
    kill(start, unet_model(dropout=0.3), data, checkpoint, call=call, **changes)
    assert checkpoint.exists()
    history_again, cost_again, method = start(resumed, data, checkpoint, **changes)
    assert len(method.calls) == 6 - (call - 1) // 2 * 2
    assert weights_of(resumed) == weights_of(whole)
    assert json.dumps(history_again) == json.dumps(history)
    assert cost_again.denoiser_evaluations == cost.denoiser_evaluations
    assert list(tmp_path.iterdir()) == []


def test_killed_twice(unet_model, data, tmp_path):
    for call in (4, 3):
        kill(unlearn, unet_model(), data, tmp_path / "b.safetensors", call=call)
    finish(unet_model, data, tmp_path / "b.safetensors", steps_left=2)


def test_without_a_path_no_checkpoint_is_written(unet_model, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kill(unlearn, unet_model(), data, None)
    assert len(unlearn(unet_model(), data)[2].calls) == 6
    assert list(tmp_path.iterdir()) == []


def test_cost_counts_the_time_of_the_killed_run(unet_model, data, tmp_path):
    """Four steps of 0.2 s are in the checkpoint; those after it are quick."""
    checkpoint = tmp_path / "c.safetensors"
    with pytest.raises(Killed):
        unlearn(unet_model(), data, checkpoint, before_step=before(kill_at(5), lambda n: time.sleep(0.2)))
    _, cost, method = unlearn(unet_model(), data, checkpoint)
    assert len(method.calls) == 2
    assert cost.wall_seconds > 4 * 0.2


@pytest.fixture
def killed(unet_model, data, tmp_path):
    """The checkpoint, after two steps, of a run that was killed in the fourth of six."""
    checkpoint = tmp_path / "own" / "b.safetensors"
    kill(unlearn, unet_model(), data, checkpoint)
    return checkpoint


@pytest.mark.parametrize(
    ("changes", "data_changes"),
    [
        ({"seed": 1}, {}),
        ({"learning_rate": 2e-3}, {}),
        ({"steps": 8}, {}),
        ({"control": "cosine"}, {}),
        ({}, {"forgotten_before": (2,)}),
        ({}, {"anchor": 1}),
        ({}, {"forget": images_of([1] * 8, (1, 8, 8))}),
        ({}, {"retain": images_of([1, 2] * 8, (1, 8, 8))}),
    ],
    ids=str,
)
def test_checkpoint_of_another_run_is_not_continued(unet_model, data, killed, changes, data_changes):
    data = data._replace(**data_changes)
    finish(unet_model, data, killed, steps_left=changes.get("steps", 6), **changes)


@pytest.mark.parametrize("subset", ["full", "class_embedding"])
def test_checkpoint_of_another_base_model_is_not_continued(unet_model, data, tmp_path, subset):
    """Also if the models differ only in weights that are not trained."""
    kill(unlearn, unet_model(), data, tmp_path / "b", subset=subset)
    other = unet_model()
    other.unet.conv_out.bias.data += 1
    assert len(unlearn(other, data, tmp_path / "b", subset=subset)[2].calls) == 6


def finish(unet_model, data, checkpoint, steps_left, **changes):
    """The killed run continues, to the weights of one that was not killed."""
    whole, resumed = unet_model(), unet_model()
    unlearn(whole, data, **changes)
    _, _, method = unlearn(resumed, data, checkpoint, **changes)
    assert len(method.calls) == steps_left
    assert weights_of(resumed) == weights_of(whole)


MISTYPED = {"learning_rate": 2e-3}


def test_a_run_of_other_settings_that_writes_no_checkpoint_leaves_this_one(unet_model, data, killed):
    unlearn(unet_model(), data, killed, **MISTYPED, steps=1)
    finish(unet_model, data, killed, steps_left=4)
    assert list(killed.parent.iterdir()) == []


def test_a_checkpoint_is_kept_while_another_run_has_its_own(unet_model, data, killed):
    """Each run continues from its own, and the one kept aside stays there if its run is killed again."""
    kill(unlearn, unet_model(), data, killed, **MISTYPED)
    assert len(list(killed.parent.iterdir())) == 2
    others = killed.read_bytes()
    kill(unlearn, unet_model(), data, killed, call=3)
    assert killed.read_bytes() == others
    assert len(list(killed.parent.iterdir())) == 2
    finish(unet_model, data, killed, steps_left=2)
    assert len(unlearn(unet_model(), data, killed, **MISTYPED)[2].calls) == 4
    assert list(killed.parent.iterdir()) == []


def test_of_several_other_checkpoints_the_last_is_kept(unet_model, data, killed):
    for rate in (2e-3, 3e-3):
        kill(unlearn, unet_model(), data, killed, learning_rate=rate)
    finish(unet_model, data, killed, steps_left=6)
    (left,) = killed.parent.iterdir()
    assert len(unlearn(unet_model(), data, killed, learning_rate=3e-3)[2].calls) == 4
    assert not left.exists()


def test_failed_checkpoint_leaves_the_earlier_one(unet_model, data, tmp_path, monkeypatch):
    """The disk is full at the second checkpoint: the first is whole, and nothing else is left."""
    save_file, checkpoint = checkpoints.save_file, tmp_path / "b.safetensors"

    def full_disk(tensors, path, metadata):
        if checkpoint.exists():
            path.write_bytes(b"half")
            raise OSError("No space left on device")
        save_file(tensors, path, metadata)

    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        unlearn(unet_model(), data, checkpoint)
    assert list(tmp_path.iterdir()) == [checkpoint]
    monkeypatch.undo()
    assert len(unlearn(unet_model(), data, checkpoint)[2].calls) == 4


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda whole: whole[:-100], "is damaged ("),
        (lambda whole: b"", "is damaged ("),
        (lambda whole: whole.replace(b"fingerprint", b"fingerpaint"), "belongs to another configuration"),
    ],
    ids=["cut short", "empty", "not ours"],
)
def test_a_checkpoint_that_cannot_be_used_is_named(unet_model, data, caplog, killed, spoil, said):
    killed.write_bytes(spoil(killed.read_bytes()))
    finish(unet_model, data, killed, steps_left=6)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"{killed} {said}")
    assert warning.endswith(": training starts from the beginning")
    assert not killed.exists()


@pytest.mark.parametrize("subset", ["full", "selfattn", "noselfattn", "notime", "class_embedding"])
def test_only_the_subset_moves(unet_model, data, subset):
    """Weight decay too must leave the others alone."""
    model = unet_model()
    before = weights_of(model)
    unlearn(model, data, steps=2, subset=subset, weight_decay=0.1)
    moved = {name.removeprefix("unet.") for name, _ in before.items() ^ weights_of(model).items()}
    assert moved == set(model.trainable(subset))
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("limit", [0.01, 1e6])
def test_gradient_is_clipped_to_its_limit(linear_model, toy_images, monkeypatch, limit):
    """Under plain gradient descent the step is the learning rate times the clipped norm."""
    monkeypatch.setattr(loop, "optimiser_class", lambda *_: torch.optim.SGD)
    model = linear_model(shape=(1, 8, 8))
    start = flat(p.detach() for p in model.parameters())
    options = {"steps": 1, "learning_rate": 0.5, "schedule": "constant", "ema_decay": 0}
    history, _, _ = pretrain(model, TrainingData(toy_images), max_grad_norm=limit, **options)
    moved, norm = flat(p.detach() for p in model.parameters()) - start, history[0]["gradient_norm"]
    assert norm > 0.01
    assert np.linalg.norm(moved) == pytest.approx(0.5 * min(norm, limit), rel=1e-3)


def recorded_weights(linear_model, toy_images, ema_decay):
    """The weights before each step, and those that the training leaves behind."""
    model, seen = linear_model(shape=(1, 8, 8)), []

    def before_step(n):
        seen.append([p.detach().clone() for p in model.parameters()])

    options = {"steps": 9, "learning_rate": 0.01, "ema_decay": ema_decay}
    pretrain(model, TrainingData(toy_images), before_step=before_step, **options)
    before_step(9)
    return seen[:-1], seen[-1]


def test_ema_is_that_of_diffusers_and_does_not_steer(linear_model, toy_images):
    """The weights before each step are the same with and without it."""
    without, last = recorded_weights(linear_model, toy_images, 0.0)
    seen, kept = recorded_weights(linear_model, toy_images, 0.3)
    assert all(torch.equal(*pair) for pair in zip(chain(*without), chain(*seen), strict=True))
    assert not any(map(torch.equal, without[-1], last))
    ema = EMAModel([torch.nn.Parameter(p) for p in seen[0]], decay=0.3, foreach=True)
    by_hand = seen[0]
    for k, weights in enumerate([*seen[1:], last]):
        ema.step([torch.nn.Parameter(p) for p in weights])
        decay = 0.0 if k == 0 else min(0.3, (1 + k) / (10 + k))
        by_hand = [torch.lerp(new, mean, decay) for mean, new in zip(by_hand, weights, strict=True)]
    assert all(map(torch.equal, kept, ema.shadow_params))
    torch.testing.assert_close(kept, by_hand)
    assert not any(torch.allclose(mean, final, atol=1e-6) for mean, final in zip(kept, last, strict=True))


def test_curves_are_logged_every_so_often_and_at_the_end(unet_model, data):
    logged = []
    options = {"on_log": lambda step, scalars: logged.append({"step": step, **scalars}), "log_every": 3}
    history, _, _ = unlearn(unet_model(), data, steps=8, **options)
    assert [point["step"] for point in history] == [0, 3, 6, 7]
    assert logged == history
    assert set(history[0]) >= {"retain_loss", "forget_loss", "lambda", "gradient_cosine", "gradient_norm"}


def test_cost_counts_steps_and_images(unet_model, data):
    """A step of EraseDiff evaluates the retain batch once and the forget batch twice."""
    model = unet_model()
    for _ in range(2):  # a second training counts only its own
        _, cost, _ = unlearn(model, data, control="grad_norm", forget_target="null", retain_loss="denoising")
        assert (cost.steps, cost.denoiser_evaluations) == (6, 6 * 3 * 4)
    assert cost.wall_seconds > 0
    assert cost.peak_memory_bytes > 2**20


def test_learning_reduces_the_loss(unet_model, data):
    model, options = unet_model(), {"steps": 80, "batch_size": 16, "learning_rate": 5e-3}
    history, _, _ = pretrain(model, data, **options)
    losses = [point["loss"] for point in history]
    assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:5])
    assert not model.training


def test_two_trainings_may_differ_in_precision(unet_model, data):
    """``__default__`` trains twice in one process, each with settings of its own."""
    exact, rough = unet_model(), unet_model()
    unlearn(exact, data, steps=2, mixed_precision="no")
    unlearn(rough, data, steps=2, mixed_precision="bf16")
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in rough.parameters())
    assert weights_of(rough) != weights_of(exact)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_diverged_training_is_an_error(linear_model, data, loss):
    """Its samples would be black images, and the forget accuracy perfect."""

    class Diverged(Denoising):
        def gradients(self, model, *_):
            for parameter in model.trainable(self.subset).values():
                parameter.grad = torch.full_like(parameter, loss)
            return {"loss": loss}

    settings = PretrainSettings(**small())
    for section in (None, "audit.inversion"):
        said = rf"{section or 'pretrain'}: the gradient is \S+ at step 0: lower its learning_rate"
        with pytest.raises(UserError, match=said):
            train(linear_model(), Diverged(settings), TrainingData(data.retain), settings, 0, section=section)


def test_a_part_takes_all_of_a_batch_along():
    before = torch.tensor([5, 6, 7, 8])
    batch = Batch(torch.arange(4.0)[:, None], torch.arange(4), before)
    parts = [batch.part(i, 2) for i in range(2)]
    assert all(torch.equal(torch.cat(fields), whole) for *fields, whole in zip(*parts, batch, strict=True))
    assert batch._replace(forgotten_before=None).part(0, 2).forgotten_before is None


def test_parts_must_divide_the_batch():
    with pytest.raises(ValidationError, match="accumulation 3: it must divide batch_size 32"):
        EraseDiffSettings(accumulation=3)


def before(function, call):
    """``function``, and ahead of it ``call`` with the same arguments."""
    return lambda *arguments: (call(*arguments), function(*arguments))[1]


@pytest.mark.parametrize("name", STEPPED)
def test_every_method_is_prepared_and_trained_with_memory_saved(text_model, monkeypatch, name):
    data = without_class_0(images_of([0, 1, 2] * 4, (3, 16, 16)))
    model, sizes, twice = text_model(["a cat", "a dog", "a cow"]), [], []

    def see_batch(model, x_t, *_):
        sizes.append((len(x_t), torch.is_grad_enabled()))

    def see_model(method, model, *_):
        twice.append(model.unet.is_gradient_checkpointing)

    method = METHODS[name].build
    monkeypatch.setattr(StableDiffusion, "denoise", before(StableDiffusion.denoise, see_batch))
    monkeypatch.setattr(method, "prepare", before(method.prepare, see_model))
    memory = {"accumulation": 2, "gradient_checkpointing": True, "mixed_precision": "bf16"}
    run(name, model, data, steps=2, **memory)
    assert twice == [True]
    assert max(size for size, grad in sizes if grad) == 2
    assert all(p.isfinite().all() for p in model.parameters())
    assert not model.unet.is_gradient_checkpointing


def test_activations_computed_twice_give_the_same_curves(text_model):
    data = without_class_0(images_of([0, 1] * 4, (3, 16, 16)))
    curves, calls = [], []
    for wanted in (False, True):
        model, seen = text_model(["a cat", "a dog"]), []
        block = model.unet.down_blocks[0].resnets[0]
        block.register_forward_pre_hook(lambda *_, seen=seen: seen.append(1))
        history, _, _ = unlearn(model, data, gradient_checkpointing=wanted, steps=2)
        curves.append([list(point.values()) for point in history])
        calls.append(len(seen))
        assert not model.unet.is_gradient_checkpointing
    np.testing.assert_allclose(*curves, rtol=1e-3)
    assert calls[1] > calls[0]


def test_the_version_of_a_method_is_its_own(unet_model, data, monkeypatch):
    class Child(Denoising):
        """Another method, with the same name here."""

    def fingerprint_of(kind):
        settings = PretrainSettings(**small())
        method, inputs = kind(settings), TrainingData(data.retain)
        return fingerprint_run(unet_model(), method, inputs, settings, MachineSettings(), 1, 0)

    before = fingerprint_of(Child)
    monkeypatch.setattr(Denoising, "version", 2, raising=False)
    assert fingerprint_of(Child) == before != fingerprint_of(Denoising)
