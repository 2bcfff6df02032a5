import numpy as np
import pytest
import torch

from erasediff_pipeline.training.method import Batch
from tests.helpers import runs
from tests.helpers.by_hand import DATA, RETAINED, Step, Weights, assert_update, batches, flat, generator, push
from tests.helpers.runs import run


def prepared(model, data=DATA, seed=0, **settings):
    return runs.prepared("selective_amnesia", model, data, seed=seed, **{"fisher_batches": 3, **settings})


@pytest.mark.parametrize(("ewc", "replay"), [(0.0, 0.0), (0.01, 0.0), (0.0, 0.5), (0.003, 1.0)])
def test_update_is_surrogate_plus_penalty_plus_replay(linear_model, alpha_bar, ewc, replay):
    """The penalty pulls back each weight with λ·F_i·(θ_i − θ*_i), so that it is none to begin with."""
    for seed in range(5):
        model = linear_model(seed)
        base = Weights(model).vector
        method = prepared(model, seed=seed, ewc_weight=ewc, replay_weight=replay)
        fisher = flat(method.fisher[name] for name in ("weight", "bias"))
        assert (Weights(model).vector == base).all()
        assert Step(model, method, alpha_bar, seed).scalars["ewc_penalty"] == 0
        push(model, size=0.2)
        step = Step(model, method, alpha_bar, seed)
        away = step.weights.vector - base
        step.forget_x0 = step.noised_of(4)
        forget_loss, g_forget = step.forget_loss()
        replay_loss, g_replay = step.retain_loss(step.noised_of(6))
        assert_update(step, g_forget + ewc * fisher * away + replay * g_replay)
        assert np.abs(8 * fisher * away).max() > 0.1  # not lost in rounding
        penalty = ewc / 2 * (fisher * away**2).sum()
        losses = {"forget_loss": forget_loss, "retain_loss": replay_loss, "ewc_penalty": penalty}
        assert step.scalars == pytest.approx(losses, rel=1e-4)


def test_surrogate_is_uniform_noise_under_the_forgotten_condition(linear_model):
    model = linear_model()
    method = prepared(model)
    model.calls.clear()
    model.noised.clear()
    forget = Batch(torch.full((20_000, 1, 2, 2), 0.9), torch.zeros(20_000, dtype=torch.int64))
    method.gradients(model, forget, batches(0)[1], generator())
    (surrogate,) = (x0 for x0 in model.noised if len(x0) == 20_000)
    assert -1 <= surrogate.min() < -0.999
    assert 0.999 < surrogate.max() <= 1
    assert float(surrogate.mean()) == pytest.approx(0, abs=0.01)
    assert float(surrogate.var()) == pytest.approx(1 / 3, abs=0.01)
    assert float((surrogate < -0.5).float().mean()) == pytest.approx(0.25, abs=0.01)
    (call,) = (call for call in model.calls if len(call.x_t) == 20_000)
    assert (call.c == 0).all()


def test_pixels_of_neither_batch_are_read(linear_model):
    updates = set()
    for shifts in ((0, 0), (5, 0), (0, 5)):
        model = linear_model()
        given = [b._replace(x0=b.x0 + shift) for b, shift in zip(batches(0), shifts, strict=True)]
        prepared(model).gradients(model, *given, generator())
        updates.add(flat(p.grad for p in model.parameters()).tobytes())
    assert len(updates) == 1


def test_replay_is_a_batch_of_the_replayed_images_under_their_labels(linear_model, alpha_bar):
    model = linear_model()
    method = prepared(model, condition_dropout=0.0)

    def pairs(images, labels):
        return {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}

    replay, drawn = pairs(method.replay.images, method.replay.labels), set()
    assert len(replay) > 3
    for seed in range(20):
        step = Step(model, method, alpha_bar, seed)
        drawn |= pairs(model.decode(step.noised_of(6)).numpy(), step.retain.c)
    assert drawn == replay


@pytest.mark.parametrize("images", [6, 7, 1])
def test_replay_is_of_the_retained_labels_evenly(linear_model, images):
    method = prepared(linear_model(), replay_images=images)
    assert method.replay.labels.tolist() == (RETAINED * 4)[:images]
    assert len(method.replay) == images


def test_replay_is_what_the_base_model_draws_under_these_labels(toy_model, alpha_bar, data):
    """ε is exact for one image a class, so that each sample is this image, guided: 3·x*_c − 2·x*_null."""
    x_star = torch.tensor([-0.25, 0.1, 0.2, 0.0])

    def exact(model, x_t, t, c):
        a = alpha_bar[t].view(-1, 1, 1, 1)
        return ((x_t - a.sqrt() * x_star[c].view(-1, 1, 1, 1)) / (1 - a).sqrt()).float()

    method = prepared(toy_model(exact), data, replay_images=5)
    assert method.replay.labels.tolist() == [1, 2, 1, 2, 1]
    for image, label in zip(method.replay.images, method.replay.labels, strict=True):
        expected = (3 * float(x_star[label]) + 1) * 127.5
        assert np.abs(image.astype(float) - expected).max() <= 1


SPARING = [{"accumulation": 2}, {"gradient_checkpointing": True}, {"mixed_precision": "bf16"}]


@pytest.mark.parametrize("setting", SPARING)
def test_replay_is_drawn_as_many_at_a_time_as_are_trained_on(linear_model, setting):
    """Guidance asks twice for each; without such a setting all of them at once, as elsewhere."""
    images, sizes = [], []
    for changes in ({}, setting):
        model = linear_model()
        images.append(prepared(model, replay_images=7, **changes).replay.images)
        sizes.append({len(call.x_t) for call in model.calls if not call.grad})
    part = 4 // setting.get("accumulation", 1)
    assert sizes == [{2 * 7}, {2 * part, 2 * (7 % part)}]
    assert np.abs(images[0].astype(int) - images[1]).max() <= 1


@pytest.mark.parametrize("setting", SPARING)
def test_fisher_differs_by_rounding_where_memory_is_spared(unet_model, data, setting):
    settings = ({}, {**setting, "batch_size": 4})
    methods = [prepared(unet_model().eval(), data, **changes) for changes in settings]
    whole, spared = (flat(method.fisher.values()) for method in methods)
    assert 0 < np.linalg.norm(spared - whole) < 0.05 * np.linalg.norm(whole)


def test_fisher_is_over_all_training_images(linear_model):
    """θ* stands for what it was trained on; the retain set alone would leave the forgotten condition free."""
    model = linear_model()
    method = prepared(model, fisher_batches=5, fisher_batch_size=4)
    assert (method.fisher["bias"][:3] > 0).all()
    assert (method.fisher["bias"][3] == 0).all()
    seen = {tuple(x) for x in torch.cat(model.noised).flatten(1).tolist()}
    pixels = np.concatenate([DATA.retain.images, DATA.forget.images])
    assert seen == {tuple(x) for x in model.encode(torch.from_numpy(pixels)).flatten(1).tolist()}


@pytest.mark.parametrize("sampling", [{"steps": 3}, {"guidance_scale": 0.0}, {"sampler": "ddim"}])
def test_replay_is_drawn_by_settings_of_its_own(linear_model, sampling):
    plain, other = linear_model(), linear_model()
    images = prepared(plain, replay_images=4).replay.images
    changed = prepared(other, replay_images=4, replay_sampling=sampling).replay.images
    assert (images != changed).any()
    assert (len(plain.calls) == len(other.calls)) == ("steps" not in sampling)


def test_the_default_penalty_counts(unet_model, data):
    """It is a share of the loss, and what θ* needs most moves less than without it."""
    moved = []
    for changes in ({}, {"ewc_weight": 0.0}):
        model, base = unet_model(), unet_model()
        history, _, method = run("selective_amnesia", model, data, ema_decay=0, steps=10, **changes)
        pairs = zip(method.fisher, model.parameters(), base.parameters(), strict=True)
        moved.append(sum(float((method.fisher[n] * (p - q).detach() ** 2).sum()) for n, p, q in pairs))
        if not changes:
            assert history[-1]["ewc_penalty"] > 0.02 * history[-1]["forget_loss"]
    assert moved[0] < 0.7 * moved[1]
