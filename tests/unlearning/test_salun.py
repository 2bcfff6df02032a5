import numpy as np
import pytest
import torch
from pydantic import ValidationError

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.unlearning.salun import Salun, SalunSettings, mean_forget_gradient, most_salient
from tests.helpers import runs
from tests.helpers.by_hand import RETAINED, Step, Weights, assert_update, flat, generator, images_of, noise_in
from tests.helpers.runs import run, small, weights_of

PIXELS = np.array([10, 80, 200, 255], dtype=np.uint8).reshape(1, 2, 2)


@pytest.fixture(scope="module")
def alike():
    """Forget images that are all the same, so that x0 is known whichever rows are drawn."""
    forget = LabelledImages(np.stack([PIXELS] * 8), np.zeros(8, dtype=np.int64))
    return TrainingData(retain=images_of(RETAINED * 3), forget=forget)


def prepared(model, data, seed=0, **settings):
    return runs.prepared("salun", model, data, seed=seed, **{"batch_size": 5, "mask_batches": 3, **settings})


def flat_mask(method, model):
    """In the order of the parameters; the mask itself goes by name."""
    return flat(method.mask[name] for name in model.trainable(method.subset)).astype(bool)


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("batches", [1, 3])
def test_mask_is_of_the_largest_mean_forget_gradients(linear_model, alike, alpha_bar, fraction, batches):
    """Under the forgotten condition; each batch has timesteps of its own; the retain set plays no part."""
    for seed in range(5):
        model = linear_model(seed)
        method = prepared(model, alike, seed=seed, mask_fraction=fraction, mask_batches=batches)
        mask = flat_mask(method, model)
        assert [call.c.tolist() for call in model.calls] == [[0] * 5] * batches
        assert len({tuple(call.t.tolist()) for call in model.calls}) == batches
        x0, weights = torch.from_numpy(PIXELS).double() / 127.5 - 1, Weights(model)
        gradients = [weights.solve(call, noise_in(call, x0, alpha_bar))[1] for call in model.calls]
        expected = np.zeros(len(mask), dtype=bool)
        expected[np.argsort(-np.abs(np.mean(gradients, axis=0)))[: round(fraction * len(mask))]] = True
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("beta", [0.0, 0.6])
@pytest.mark.parametrize("fraction", [0.25, 1.0])
def test_update_is_that_of_random_labels_under_the_mask(linear_model, alike, alpha_bar, beta, fraction):
    for seed in range(5):
        model = linear_model(seed)
        method = prepared(model, alike, seed=seed, mask_fraction=fraction, retain_weight=beta)
        mask = flat_mask(method, model)
        step = Step(model, method, alpha_bar, seed)
        (call,) = step.aims
        _, g_forget = step.forget_loss(step.weights.predict(step.forget.x_t, call.c))
        assert_update(step, mask * (g_forget + beta * step.retain_loss()[1]))
        assert (step.update[~mask] == 0).all()
        assert set(call.c.tolist()) <= set(RETAINED)


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.9, 1.0])
def test_mask_has_exactly_its_fraction_and_one_threshold_for_all_tensors(fraction):
    g = generator()
    gradient = {"small": torch.randn(20, 30, generator=g) / 100, "large": torch.randn(400, generator=g)}
    mask = most_salient(gradient, fraction)
    inside = torch.cat([gradient[name][mask[name]].abs() for name in gradient])
    outside = torch.cat([gradient[name][~mask[name]].abs() for name in gradient])
    assert len(inside) == round(fraction * 1000)
    assert fraction == 1 or inside.min() > outside.max()
    assert {name: m.shape for name, m in mask.items()} == {name: g.shape for name, g in gradient.items()}
    assert all(m.dtype == torch.bool for m in mask.values())


def test_mask_keeps_its_fraction_where_gradients_tie_and_is_never_empty():
    gradient = {"a": torch.zeros(10), "b": torch.zeros(2, 5)}
    for fraction, count in ((0.25, 5), (0.001, 1)):
        assert sum(int(m.sum()) for m in most_salient(gradient, fraction).values()) == count


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_mask_of_batches_in_parts_is_that_of_whole_ones(linear_model, alike, parts):
    """And no more than a part goes through the model at a time."""
    for seed in range(3):
        whole, parted = linear_model(seed), linear_model(seed)
        ways, options = ((whole, 1), (parted, parts)), {"seed": seed, "batch_size": 6}
        masks = [flat_mask(prepared(m, alike, accumulation=n, **options), m) for m, n in ways]
        np.testing.assert_array_equal(*masks)
        assert {len(call.x_t) for call in whole.calls} == {6}
        assert {len(call.x_t) for call in parted.calls} == {6 // parts}
        assert whole.evaluations == parted.evaluations
        assert torch.equal(*(torch.cat([call.x_t for call in model.calls]) for model in (whole, parted)))


@pytest.mark.parametrize(
    ("setting", "rounding"), [({"accumulation": 3}, 1e-5), ({"mixed_precision": "bf16"}, 0.05)]
)
def test_forget_gradient_differs_by_rounding_where_memory_is_spared(unet_model, data, setting, rounding):
    gradients = []
    for changes in ({}, setting):
        settings = SalunSettings(**small(batch_size=6, mask_batches=2, **changes))
        gradients.append(flat(mean_forget_gradient(unet_model().eval(), data, settings, 0).values()))
    whole, spared = gradients
    assert 0 < np.linalg.norm(spared - whole) < rounding * np.linalg.norm(whole)


def moved(model, base):
    """Boolean, one entry a weight."""
    after, before = (flat(p.detach() for p in each.trainable("full").values()) for each in (model, base))
    return after != before


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_only_the_mask_moves_in_training(unet_model, data, ema_decay):
    model = unet_model()
    _, _, method = run("salun", model, data, mask_fraction=0.3, ema_decay=ema_decay)
    mask, changed = flat_mask(method, model), moved(model, unet_model())
    assert int(mask.sum()) == round(0.3 * len(mask))
    assert not changed[~mask].any()
    assert changed[mask].mean() > 0.99


def test_whole_mask_is_random_label(unet_model, data, monkeypatch):
    """Byte for byte, once the draws of both have the same name; then nearly all weights move."""
    monkeypatch.setattr(Salun, "name", "random_label")
    masked, plain = unet_model(), unet_model()
    run("salun", masked, data, mask_fraction=1.0)
    run("random_label", plain, data)
    assert weights_of(masked) == weights_of(plain)
    assert moved(plain, unet_model()).mean() > 0.99


@pytest.mark.parametrize("decay", [0.01, 1.0])
def test_weight_decay_is_refused(decay):
    """AdamW would move the weights outside the mask."""
    with pytest.raises(ValidationError, match="weight_decay"):
        SalunSettings(weight_decay=decay)


def test_the_mask_is_of_the_subset_and_finding_it_leaves_the_model_alone(unet_model, data):
    model = unet_model()
    before, chosen = weights_of(model), model.trainable("selfattn")
    method = prepared(model, data, subset="selfattn", mask_fraction=0.2)
    assert set(method.mask) == set(chosen)
    assert int(flat_mask(method, model).sum()) == round(0.2 * sum(p.numel() for p in chosen.values()))
    assert weights_of(model) == before
    assert all(p.grad is None for p in model.parameters())
