import json
import time

import numpy as np
import pytest
import torch
from diffusers.training_utils import EMAModel
from pydantic import ValidationError

from erasediff_pipeline.config import PretrainSettings, UnlearnSettings
from erasediff_pipeline.diffusion.text_to_image import TextToImage
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.training import loop
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.gradients import accumulate
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.optimiser import build_schedule
from erasediff_pipeline.training.processes import Share
from erasediff_pipeline.training.reading import draw_forgotten_before
from erasediff_pipeline.unlearning.erasediff import EraseDiff
from erasediff_pipeline.unlearning.registry import METHODS
from tests.helpers.by_hand import batches, flat, images_of
from tests.helpers.runs import STEPPED, Killed, in_8_bits, kill_at, run, small, watch, weights_of


def unlearn(model, data, checkpoint, seed=0, before_step=lambda n: None, on_log=lambda *_: None, **changes):
    settings = UnlearnSettings(**small(**changes))
    method = watch(EraseDiff(settings), before_step)
    return train(model, method, data, settings, seed, checkpoint, on_log), method


def pretrain(model, data, checkpoint, seed=0, before_step=lambda n: None, **changes):
    settings = PretrainSettings(**small(**changes))
    method = watch(Denoising(settings), before_step)
    return train(model, method, TrainingData(retain=data.retain), settings, seed, checkpoint), method


@pytest.mark.parametrize("start", [unlearn, pretrain])
@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "one_cycle", "ema_decay": 0.5},
        {"schedule": "constant", "ema_decay": 0.0, "weight_decay": 0.1},
        pytest.param({"optimiser": "adamw_8bit", "weight_decay": 0.1}, marks=in_8_bits),
    ],
)
@pytest.mark.parametrize("call", [4, 6])
def test_killed_and_resumed_is_the_same_byte_for_byte(unet_model, data, tmp_path, start, changes, call):
    whole, resumed = unet_model(dropout=0.3), unet_model(dropout=0.3)
    (history, cost), _ = start(whole, data, tmp_path / "a.safetensors", **changes)

    checkpoint = tmp_path / "b.safetensors"
    with pytest.raises(Killed):
        start(resumed, data, checkpoint, before_step=kill_at(call), **changes)
    assert checkpoint.exists()
    resumed = unet_model(dropout=0.3)
    (history_again, cost_again), method = start(resumed, data, checkpoint, **changes)

    assert len(method.calls) == 6 - (call - 1) // 2 * 2
    assert weights_of(resumed) == weights_of(whole)
    assert json.dumps(history_again) == json.dumps(history)
    assert cost_again.denoiser_evaluations == cost.denoiser_evaluations
    assert not checkpoint.exists()


def test_resume_of_a_later_request(unet_model, data, tmp_path):
    later = data._replace(forgotten_before=(1, 2))
    whole, resumed = unet_model(), unet_model()
    unlearn(whole, later, tmp_path / "a.safetensors")
    with pytest.raises(Killed):
        unlearn(unet_model(), later, tmp_path / "b.safetensors", before_step=kill_at(4))
    _, method = unlearn(resumed, later, tmp_path / "b.safetensors")
    assert len(method.calls) == 4
    assert weights_of(resumed) == weights_of(whole)


def test_checkpoint_of_another_history_is_not_continued(unet_model, data, tmp_path):
    checkpoint = tmp_path / "b.safetensors"
    with pytest.raises(Killed):
        unlearn(unet_model(), data, checkpoint, before_step=kill_at(5))
    _, method = unlearn(unet_model(), data._replace(forgotten_before=(2,)), checkpoint)
    assert len(method.calls) == 6


def test_classes_forgotten_before_are_drawn_for_the_retained_images():
    drawn = [draw_forgotten_before([3, 5], 400, seed, step=2) for seed in (0, 0, 1)]
    assert set(drawn[0].tolist()) == {3, 5}
    assert 150 < (drawn[0] == 3).sum() < 250
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_resume_of_a_subset(unet_model, data, tmp_path):
    whole, resumed = unet_model(), unet_model()
    unlearn(whole, data, tmp_path / "a.safetensors", subset="selfattn")
    checkpoint = tmp_path / "b.safetensors"
    with pytest.raises(Killed):
        unlearn(unet_model(), data, checkpoint, before_step=kill_at(4), subset="selfattn")
    _, method = unlearn(resumed, data, checkpoint, subset="selfattn")
    assert len(method.calls) == 4
    assert weights_of(resumed) == weights_of(whole)


def test_resume_of_a_distillation(unet_model, data, tmp_path):
    """The teacher is the model that the first run began with, not the one that the checkpoint has."""
    whole, resumed = unet_model(), unet_model()
    (history, cost), _ = unlearn(whole, data, tmp_path / "a.safetensors", retain_loss="distillation")
    checkpoint = tmp_path / "b.safetensors"
    with pytest.raises(Killed):
        unlearn(resumed, data, checkpoint, before_step=kill_at(4), retain_loss="distillation")
    resumed = unet_model()
    (again, cost_again), method = unlearn(resumed, data, checkpoint, retain_loss="distillation")
    assert len(method.calls) < len(history)
    assert weights_of(resumed) == weights_of(whole)
    assert json.dumps(again) == json.dumps(history)
    assert cost_again.denoiser_evaluations == cost.denoiser_evaluations


def test_killed_twice(unet_model, data, tmp_path):
    whole, resumed = unet_model(), unet_model()
    unlearn(whole, data, tmp_path / "a.safetensors")
    checkpoint = tmp_path / "b.safetensors"
    for call in (4, 3):
        with pytest.raises(Killed):
            unlearn(unet_model(), data, checkpoint, before_step=kill_at(call))
    unlearn(resumed, data, checkpoint)
    assert weights_of(resumed) == weights_of(whole)


def test_cost_counts_the_time_of_the_killed_run(unet_model, data, tmp_path):
    """Four steps of 0.2 s are in the checkpoint; those after it are quick."""

    def slow_then_killed(n):
        time.sleep(0.2)
        kill_at(5)(n)

    checkpoint = tmp_path / "c.safetensors"
    with pytest.raises(Killed):
        unlearn(unet_model(), data, checkpoint, before_step=slow_then_killed)
    (_, cost), method = unlearn(unet_model(), data, checkpoint)
    assert len(method.calls) == 2
    assert cost.wall_seconds > 4 * 0.2


def test_checkpoint_of_another_seed_is_not_continued(unet_model, data, tmp_path):
    fresh, other = unet_model(), unet_model()
    unlearn(fresh, data, tmp_path / "a.safetensors", seed=1)
    checkpoint = tmp_path / "b.safetensors"
    with pytest.raises(Killed):
        unlearn(unet_model(), data, checkpoint, seed=0, before_step=kill_at(5))
    _, method = unlearn(other, data, checkpoint, seed=1)
    assert len(method.calls) == 6
    assert weights_of(other) == weights_of(fresh)


@pytest.fixture
def killed(unet_model, data, tmp_path):
    """Where a run that was killed in the fourth of six steps has left its checkpoint, of two."""
    checkpoint = tmp_path / "own" / "b.safetensors"
    with pytest.raises(Killed):
        unlearn(unet_model(), data, checkpoint, before_step=kill_at(4))
    return checkpoint


def finish(unet_model, data, checkpoint, tmp_path, steps_left):
    """The run that was killed goes on, to the weights of one that was not."""
    whole, resumed = unet_model(), unet_model()
    unlearn(whole, data, tmp_path / "a.safetensors")
    _, method = unlearn(resumed, data, checkpoint)
    assert len(method.calls) == steps_left
    assert weights_of(resumed) == weights_of(whole)


MISTYPED = {"learning_rate": 2e-3}


def test_a_run_of_other_settings_that_keeps_no_step_leaves_the_checkpoint(unet_model, data, tmp_path, killed):
    unlearn(unet_model(), data, killed, **MISTYPED, steps=1)
    finish(unet_model, data, killed, tmp_path, steps_left=4)
    assert list(killed.parent.iterdir()) == []


def test_a_checkpoint_waits_while_another_run_has_its_own(unet_model, data, tmp_path, killed):
    """Each goes on from its own, and the one that waits stays where it is while its run is killed again."""
    with pytest.raises(Killed):
        unlearn(unet_model(), data, killed, before_step=kill_at(4), **MISTYPED)
    assert len(list(killed.parent.iterdir())) == 2
    others = killed.read_bytes()
    with pytest.raises(Killed):
        unlearn(unet_model(), data, killed, before_step=kill_at(3))
    assert killed.read_bytes() == others
    assert len(list(killed.parent.iterdir())) == 2
    finish(unet_model, data, killed, tmp_path, steps_left=2)
    _, method = unlearn(unet_model(), data, killed, **MISTYPED)
    assert len(method.calls) == 4
    assert list(killed.parent.iterdir()) == []


def test_of_several_that_wait_the_last_is_kept(unet_model, data, tmp_path, killed):
    for rate in (2e-3, 3e-3):
        with pytest.raises(Killed):
            unlearn(unet_model(), data, killed, before_step=kill_at(4), learning_rate=rate)
    finish(unet_model, data, killed, tmp_path, steps_left=6)
    (left,) = killed.parent.iterdir()
    _, method = unlearn(unet_model(), data, killed, learning_rate=3e-3)
    assert len(method.calls) == 4
    assert not left.exists()


@pytest.mark.parametrize("change", [{"learning_rate": 2e-3}, {"steps": 8}, {"control": "cosine"}])
def test_checkpoint_of_other_settings_is_not_continued(unet_model, data, tmp_path, change):
    checkpoint = tmp_path / "b.safetensors"
    with pytest.raises(Killed):
        unlearn(unet_model(), data, checkpoint, before_step=kill_at(5))
    _, method = unlearn(unet_model(), data, checkpoint, **change)
    assert len(method.calls) == change.get("steps", 6)


def test_checkpoint_of_another_request_is_not_continued(unet_model, data, toy_images, tmp_path):
    checkpoint = tmp_path / "b.safetensors"
    with pytest.raises(Killed):
        unlearn(unet_model(), data, checkpoint, before_step=kill_at(5))
    other = TrainingData(
        retain=toy_images.select(toy_images.labels != 1), forget=toy_images.select(toy_images.labels == 1)
    )
    _, method = unlearn(unet_model(), other, checkpoint)
    assert len(method.calls) == 6


def test_checkpoint_of_another_anchor_is_not_continued(unet_model, data, tmp_path):
    checkpoint = tmp_path / "b.safetensors"
    with pytest.raises(Killed):
        unlearn(unet_model(), data._replace(anchor=1), checkpoint, before_step=kill_at(5))
    _, method = unlearn(unet_model(), data._replace(anchor=2), checkpoint)
    assert len(method.calls) == 6


@pytest.mark.parametrize("subset", ["full", "class_embedding"])
def test_checkpoint_of_another_base_model_is_not_continued(unet_model, data, tmp_path, subset):
    """Also where the models differ only in weights that do not move."""

    def other_model():
        model = unet_model()
        with torch.no_grad():
            model.unet.conv_out.bias += 1
        return model

    checkpoint = tmp_path / "b.safetensors"
    with pytest.raises(Killed):
        unlearn(unet_model(), data, checkpoint, before_step=kill_at(5), subset=subset)
    _, method = unlearn(other_model(), data, checkpoint, subset=subset)
    assert len(method.calls) == 6


def test_failed_checkpoint_leaves_the_earlier_one(unet_model, data, tmp_path, monkeypatch):
    """The disk is full at the second checkpoint: the first is whole, and nothing else is left."""
    from erasediff_pipeline.training import checkpoint as module

    save_file, calls = module.save_file, []

    def full_disk(tensors, path, metadata):
        calls.append(1)
        if len(calls) == 2:
            path.write_bytes(b"half")
            raise OSError("No space left on device")
        save_file(tensors, path, metadata)

    checkpoint = tmp_path / "b.safetensors"
    monkeypatch.setattr(module, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        unlearn(unet_model(), data, checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == ["b.safetensors"]
    _, method = unlearn(unet_model(), data, checkpoint)
    assert len(method.calls) == 4


def test_other_seed_other_bytes(unet_model, data, tmp_path):
    first, second = unet_model(), unet_model()
    for seed, model in enumerate((first, second)):
        unlearn(model, data, tmp_path / "c.safetensors", seed=seed)
    assert weights_of(first) != weights_of(second)


@pytest.mark.parametrize("subset", ["full", "selfattn", "noselfattn", "notime", "class_embedding"])
def test_only_the_subset_moves(unet_model, data, tmp_path, subset):
    """Weight decay too must leave the others alone."""
    model = unet_model()
    before = weights_of(model)
    unlearn(model, data, tmp_path / "c.safetensors", steps=2, subset=subset, weight_decay=0.1)
    after = weights_of(model)
    moved = {name.removeprefix("unet.") for name in before if before[name] != after[name]}
    assert moved == set(model.trainable(subset))
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("limit", [0.01, 1e6])
def test_gradient_is_clipped_to_its_limit(linear_model, toy_images, tmp_path, monkeypatch, limit):
    """Under plain gradient descent the step is the learning rate times the clipped norm."""
    monkeypatch.setattr(loop, "optimiser_class", lambda *_: torch.optim.SGD)
    model = linear_model(shape=(1, 8, 8))
    before = [p.detach().clone() for p in model.parameters()]
    data = TrainingData(retain=toy_images)
    (history, _), _ = pretrain(
        model,
        data,
        tmp_path / "c.safetensors",
        steps=1,
        learning_rate=0.5,
        schedule="constant",
        max_grad_norm=limit,
        ema_decay=0,
    )
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(model.parameters(), before, strict=True)])
    norm = history[0]["gradient_norm"]
    assert norm > 0.01
    assert float(moved.norm()) == pytest.approx(0.5 * min(norm, limit), rel=1e-3)


def recorded_weights(linear_model, toy_images, tmp_path, ema_decay):
    """The weights after each step, and those that the training leaves behind."""
    model, seen = linear_model(shape=(1, 8, 8)), []

    def before_step(n):
        seen.append([p.detach().clone() for p in model.parameters()])

    options = {"steps": 9, "learning_rate": 0.01, "ema_decay": ema_decay}
    pretrain(model, TrainingData(retain=toy_images), tmp_path / "c", before_step=before_step, **options)
    return seen, [p.detach().clone() for p in model.parameters()]


def test_ema_is_that_of_diffusers(linear_model, toy_images, tmp_path):
    _, last = recorded_weights(linear_model, toy_images, tmp_path, 0.0)
    seen, kept = recorded_weights(linear_model, toy_images, tmp_path, 0.3)
    trajectory = [*seen[1:], last]
    ema = EMAModel([torch.nn.Parameter(p) for p in seen[0]], decay=0.3, foreach=True)
    by_hand = seen[0]
    for k, weights in enumerate(trajectory):
        ema.step([torch.nn.Parameter(p) for p in weights])
        decay = 0.0 if k == 0 else min(0.3, (1 + k) / (10 + k))
        by_hand = [decay * mean + (1 - decay) * new for mean, new in zip(by_hand, weights, strict=True)]
    for result, from_diffusers, expected, final in zip(kept, ema.shadow_params, by_hand, last, strict=True):
        assert torch.equal(result, from_diffusers)
        torch.testing.assert_close(result, expected)
        assert not torch.allclose(result, final, atol=1e-6)


def test_no_ema_keeps_the_last_weights(linear_model, toy_images, tmp_path):
    """The weights before step n are the same with and without a running mean: it does not steer."""
    without, last = recorded_weights(linear_model, toy_images, tmp_path, 0.0)
    with_ema, _ = recorded_weights(linear_model, toy_images, tmp_path, 0.9)
    assert all(
        torch.equal(a, b) for x, y in zip(without, with_ema, strict=True) for a, b in zip(x, y, strict=True)
    )
    assert all(not torch.equal(a, b) for a, b in zip(without[-1], last, strict=True))


def test_one_cycle_rises_and_falls():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight], lr=1e-2)
    schedule = build_schedule(
        optimiser, PretrainSettings(**small(steps=100, schedule="one_cycle", learning_rate=1e-2))
    )
    rates = []
    for _ in range(100):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert max(rates) == pytest.approx(1e-2, rel=0.01)
    assert rates[0] < 1e-3
    assert rates[-1] < 1e-4


def test_curves_are_logged_every_so_often_and_at_the_end(unet_model, data, tmp_path):
    logged = []
    (history, _), _ = unlearn(
        unet_model(),
        data,
        tmp_path / "c.safetensors",
        steps=8,
        log_every=3,
        on_log=lambda step, scalars: logged.append({"step": step, **scalars}),
    )
    assert [point["step"] for point in history] == [0, 3, 6, 7]
    assert logged == history
    assert set(history[0]) >= {"retain_loss", "forget_loss", "lambda", "gradient_cosine", "gradient_norm"}


def test_cost_counts_steps_and_images(unet_model, data, tmp_path):
    """A step of EraseDiff sees the retain batch once and the forget batch twice."""
    (_, cost), _ = unlearn(
        unet_model(), data, tmp_path / "c.safetensors", control="grad_norm", forget_target="null"
    )
    assert (cost.steps, cost.denoiser_evaluations) == (6, 6 * 3 * 4)
    assert cost.wall_seconds > 0
    assert cost.peak_memory_bytes > 2**20


def test_checkpoint_is_removed_at_success(unet_model, data, tmp_path):
    unlearn(unet_model(), data, tmp_path / "c.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_learning_reduces_the_loss(unet_model, data, tmp_path):
    model = unet_model()
    (history, _), _ = pretrain(
        model,
        data,
        tmp_path / "c.safetensors",
        steps=80,
        batch_size=16,
        learning_rate=5e-3,
        checkpoint_every=100,
    )
    losses = [point["loss"] for point in history]
    assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:5])
    assert not model.training


def test_two_trainings_may_differ_in_precision(unet_model, data, tmp_path):
    """``__default__`` trains twice in one process, each with settings of its own."""
    exact, rough = unet_model(), unet_model()
    unlearn(exact, data, tmp_path / "c.safetensors", steps=2, mixed_precision="no")
    unlearn(rough, data, tmp_path / "c.safetensors", steps=2, mixed_precision="bf16")
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in rough.parameters())
    assert weights_of(rough) != weights_of(exact)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_diverged_training_is_an_error(linear_model, data, tmp_path, loss):
    """Its samples would be black images, and the forget accuracy perfect."""

    class Diverged(Denoising):
        def gradients(self, model, forget_batch, retain_batch, generator):
            for parameter in model.trainable(self.subset).values():
                parameter.grad = torch.full_like(parameter, loss)
            return {"loss": loss}

    settings = PretrainSettings(**small())
    with pytest.raises(UserError, match=r"pretrain: the gradient is \S+ at step 0: lower its learning_rate"):
        train(linear_model(), Diverged(settings), TrainingData(data.retain), settings, 0, tmp_path / "c")


def before(function, call):
    """``function``, and ahead of it ``call`` with the same arguments."""

    def both(*arguments):
        call(*arguments)
        return function(*arguments)

    return both


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
        scalars = accumulate(model, Squares(), forget, retain, 0, 0, Share(range(parts), parts))
        results.append((scalars["loss"], flat([p.grad for p in model.parameters()])))
        assert scalars["forget_images"] == 4 / parts
    assert results[0][0] == pytest.approx(results[1][0])
    np.testing.assert_allclose(*(gradient for _, gradient in results), rtol=1e-5)
    assert np.abs(results[0][1]).max() > 0.01


def test_a_part_takes_all_of_a_batch_along():
    before = torch.tensor([5, 6, 7, 8])
    batch = Batch(torch.arange(4.0)[:, None], torch.arange(4), before)
    parts = [batch.part(i, 2) for i in range(2)]
    for name in Batch._fields:
        assert torch.equal(torch.cat([getattr(p, name) for p in parts]), getattr(batch, name))
    assert batch._replace(forgotten_before=None).part(0, 2).forgotten_before is None


def test_parts_must_divide_the_batch():
    with pytest.raises(ValidationError, match="accumulation 3: it must divide batch_size 128"):
        UnlearnSettings(accumulation=3)


@pytest.mark.parametrize("name", STEPPED)
def test_every_method_is_prepared_and_trained_with_memory_spared(text_model, tmp_path, monkeypatch, name):
    images = images_of([0, 1, 2] * 4, (3, 16, 16))
    data = TrainingData(retain=images.select(images.labels != 0), forget=images.select(images.labels == 0))
    model, sizes, twice = text_model(["a cat", "a dog", "a cow"]), [], []

    def see_batch(model, x_t, *_):
        sizes.append((len(x_t), torch.is_grad_enabled()))

    def see_model(method, model, *_):
        twice.append(model.unet.is_gradient_checkpointing)

    method = METHODS[name].build
    monkeypatch.setattr(TextToImage, "denoise", before(TextToImage.denoise, see_batch))
    monkeypatch.setattr(method, "prepare", before(method.prepare, see_model))
    memory = {"accumulation": 2, "gradient_checkpointing": True, "mixed_precision": "bf16"}
    run(name, model, data, tmp_path / "c", steps=2, **memory)
    assert twice == [True]
    assert max(size for size, grad in sizes if grad) == 2
    assert all(p.isfinite().all() for p in model.parameters())
    assert not model.unet.is_gradient_checkpointing


def test_activations_computed_twice_give_the_same_curves(text_model, tmp_path):
    prompts = ["a cat", "a dog"]
    images = images_of([0, 1] * 4, (3, 16, 16))
    data = TrainingData(retain=images.select(images.labels == 0), forget=images.select(images.labels == 1))
    curves, calls = [], []
    for wanted in (False, True):
        model = text_model(prompts)
        block = model.unet.down_blocks[0].resnets[0]
        seen = []
        handle = block.register_forward_pre_hook(lambda *_, seen=seen: seen.append(1))
        (history, _), _ = unlearn(model, data, tmp_path / "c", gradient_checkpointing=wanted, steps=2)
        handle.remove()
        curves.append([list(point.values()) for point in history])
        calls.append(len(seen))
        assert not model.unet.is_gradient_checkpointing
    np.testing.assert_allclose(*curves, rtol=1e-3)
    assert calls[1] > calls[0]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda whole: whole[:-100], "is damaged ("),
        (lambda whole: b"", "is damaged ("),
        (lambda whole: whole.replace(b"fingerprint", b"fingerpaint"), "belongs to another configuration"),
    ],
    ids=["cut short", "empty", "not ours"],
)
def test_a_checkpoint_that_cannot_be_used_is_named(unet_model, data, tmp_path, caplog, spoil, said):
    whole, again = unet_model(), unet_model()
    unlearn(whole, data, tmp_path / "a.safetensors")
    checkpoint = tmp_path / "b.safetensors"
    with pytest.raises(Killed):
        unlearn(unet_model(), data, checkpoint, before_step=kill_at(5))
    checkpoint.write_bytes(spoil(checkpoint.read_bytes()))
    _, method = unlearn(again, data, checkpoint)
    assert len(method.calls) == 6
    assert weights_of(again) == weights_of(whole)
    (warned,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned.startswith(f"{checkpoint} {said}")
    assert warned.endswith(": training starts from the beginning")
    assert not checkpoint.exists()
