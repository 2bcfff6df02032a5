import numpy as np
import pytest
import torch

from erasediff_pipeline.config import EvaluationSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.membership import (
    denoising_losses,
    membership_auc,
    membership_interval,
    true_positive_rate,
)

SETTINGS = EvaluationSettings(membership_timesteps=5, membership_noises=2)


@pytest.fixture(scope="module")
def members_and_unseen():
    sets = np.random.default_rng(0).integers(0, 256, (2, 12, 1, 8, 8), dtype=np.uint8)
    return [LabelledImages(images, np.zeros(12, np.int64)) for images in sets]


@pytest.fixture(scope="module")
def memoriser(toy_model, alpha_bar, members_and_unseen):
    """Predicts the ε that leads back to the nearest training image."""
    known = torch.from_numpy(members_and_unseen[0].images).float().flatten(1) / 127.5 - 1

    def predict(model, x_t, t, c):
        a = alpha_bar[t].float().view(-1, 1)
        x = x_t.flatten(1)
        nearest = known[torch.cdist(x / a.sqrt(), known).argmin(dim=1)]
        return ((x - a.sqrt() * nearest) / (1 - a).sqrt()).view_as(x_t)

    return toy_model(predict)


@pytest.fixture
def ignorant(toy_model):
    return toy_model(lambda model, x_t, t, c: torch.zeros_like(x_t))


@pytest.mark.parametrize(
    ("members", "unseen", "auc"),
    [
        ([0.1, 0.2], [0.3, 0.4, 0.5], 1.0),
        ([0.3, 0.4, 0.5], [0.1, 0.2], 0.0),
        ([0.5, 0.5], [0.5, 0.5], 0.5),
        ([0.1, 0.4], [0.2, 0.3], 0.5),
        ([0.1, 0.3], [0.2, 0.4], 0.75),
    ],
)
def test_auc_counted_by_hand(members, unseen, auc):
    assert membership_auc(torch.tensor(members).double(), torch.tensor(unseen).double()) == pytest.approx(auc)


def test_memorised_images_are_told_apart(memoriser, members_and_unseen):
    losses = [denoising_losses(memoriser, images, SETTINGS, 0, 256) for images in members_and_unseen]
    assert membership_auc(*losses) > 0.95
    assert losses[0].mean() < losses[1].mean() / 2


def test_a_model_that_knows_nothing_tells_nothing_apart(ignorant, members_and_unseen):
    """Row i of both sets gets the same noise, so the losses are the same number."""
    losses = [denoising_losses(ignorant, images, SETTINGS, 0, 256) for images in members_and_unseen]
    assert torch.equal(*losses)
    assert membership_auc(*losses) == pytest.approx(0.5)
    assert float(losses[0].mean()) == pytest.approx(1, abs=0.05)


def test_loss_does_not_depend_on_the_batch_size(memoriser, members_and_unseen):
    losses = [denoising_losses(memoriser, members_and_unseen[1], SETTINGS, 0, size) for size in (5, 256)]
    torch.testing.assert_close(*losses)


def test_noise_depends_on_the_seed_and_not_on_the_model(toy_model, members_and_unseen):
    def noise_seen(seed, factor):
        model = toy_model(lambda model, x_t, t, c: factor * x_t)
        denoising_losses(model, members_and_unseen[0], SETTINGS, seed, 256)
        return torch.cat([call.x_t for call in model.calls])

    assert torch.equal(noise_seen(0, 1), noise_seen(0, 2))
    assert not torch.equal(noise_seen(0, 1), noise_seen(1, 1))


def test_timesteps_are_evenly_spaced_inside_and_labels_are_the_condition(ignorant, toy_images):
    denoising_losses(ignorant, toy_images, SETTINGS, 0, 256)
    timesteps = [int(call.t[0]) for call in ignorant.calls]
    assert all((call.t == call.t[0]).all() for call in ignorant.calls)
    assert len(timesteps) == 5 * 2
    gaps = np.diff([-0.5, *sorted(set(timesteps)), 999])
    assert gaps.min() > 165
    assert gaps.max() < 168
    assert ignorant.calls[0].c.tolist() == toy_images.labels.tolist()


def interval(shift, n, draws):
    """Of n losses of members, and as many that are ``shift`` standard deviations larger on average."""
    members, unseen = (torch.randn(n, generator=torch.Generator().manual_seed(k)).double() for k in (0, 1))
    return membership_interval(members, shift + unseen, draws, 0.95, 0)


def test_the_interval_holds_the_auc_and_narrows_with_more_images():
    """Of two normal distributions one standard deviation apart the AUC is Φ(1/√2) = 0.760."""
    wide, narrow, alike = interval(1, 50, 200), interval(1, 2000, 100), interval(0, 200, 200)
    for (low, high), auc in ((wide, 0.760), (narrow, 0.760), (alike, 0.5)):
        assert low < auc < high
    assert narrow[1] - narrow[0] < wide[1] - wide[0]
    assert interval(1, 50, 200) == wide


def test_true_positives_at_one_percent():
    """By hand: of 100 unseen images one has a loss below 1.0; of the members three do."""
    unseen = torch.arange(100).double()
    members = torch.tensor([-3.0, 0.2, 0.9, 1.5, 60.0]).double()
    assert true_positive_rate(members, unseen, 0.0) == pytest.approx(1 / 5)
    assert true_positive_rate(members, unseen, 0.0102) == pytest.approx(3 / 5)
