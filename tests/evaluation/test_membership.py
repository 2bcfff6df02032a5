import numpy as np
import pytest
import torch

from erasediff_pipeline.config import EvaluationSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.membership import (
    membership_auc,
    membership_interval,
    proximal_errors,
    true_positive_rate,
)

SETTINGS = EvaluationSettings()


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
    """Of a member the prediction is the same at both times: (1 − √ᾱ)·x0 / √(1 − ᾱ) of time 0."""
    members, unseen = (proximal_errors(memoriser, images, SETTINGS, 256) for images in members_and_unseen)
    assert membership_auc(members, unseen) == 1
    assert members.max() < 1e-3 < unseen.min()


def test_a_model_that_knows_nothing_tells_nothing_apart(ignorant, members_and_unseen):
    errors = [proximal_errors(ignorant, images, SETTINGS, 256) for images in members_and_unseen]
    assert not torch.cat(errors).any()
    assert membership_auc(*errors) == 0.5


def test_the_error_is_that_of_the_formula(toy_model, alpha_bar, toy_images):
    """With ε = x_t·(1 + t) under class 0, and 0 under the others; by hand, in batches of 7."""
    model = toy_model(lambda model, x_t, t, c: x_t * ((1 + t) * (c == 0)).view(-1, 1, 1, 1))
    errors = proximal_errors(model, toy_images, SETTINGS, 7)
    x0, a, t = model.encode(torch.from_numpy(toy_images.images)).double(), alpha_bar[50], 50
    size = (x0 * ((a.sqrt() + (1 - a).sqrt()) * (1 + t) - 1)).flatten(1).norm(dim=1)
    torch.testing.assert_close(errors, size * (toy_images.labels == 0), rtol=1e-4, atol=1e-6)
    assert {int(time) for call in model.calls for time in call.t} == {0, 50}
    assert not any(call.grad for call in model.calls)


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_what_the_model_predicts_does_not_matter(toy_model, alpha_bar, memoriser, members_and_unseen, kind):
    def predict(model, x_t, t, c):
        a, eps = alpha_bar[t].float().view(-1, 1, 1, 1), memoriser.of(model, x_t, t, c)
        x0 = (x_t - (1 - a).sqrt() * eps) / a.sqrt()
        return x0 if kind == "sample" else a.sqrt() * eps - (1 - a).sqrt() * x0

    models = memoriser, toy_model(predict, prediction_type=kind)
    errors = [proximal_errors(model, members_and_unseen[1], SETTINGS, 256) for model in models]
    torch.testing.assert_close(*errors, rtol=1e-3, atol=1e-3)


def interval(shift, n, draws):
    """Of n errors of members, and as many that are ``shift`` standard deviations larger on average."""
    members, unseen = (torch.randn(n, generator=torch.Generator().manual_seed(k)).double() for k in (0, 1))
    return membership_interval(members, shift + unseen, draws, 0.95, 0)


def test_the_interval_holds_the_auc_and_narrows_with_more_images():
    """Of two normal distributions one standard deviation apart the AUC is Φ(1/√2) = 0.760."""
    wide, narrow, alike = interval(1, 50, 200), interval(1, 2000, 100), interval(0, 200, 200)
    for (low, high), auc in ((wide, 0.760), (narrow, 0.760), (alike, 0.5)):
        assert low < auc < high
    assert narrow[1] - narrow[0] < wide[1] - wide[0]
    assert interval(1, 50, 200) == wide


def test_the_difference_of_two_models_is_of_the_same_images():
    """A model and itself never differ, and one that is better by the same for each resample is so surely."""
    members, unseen = (torch.randn(40, generator=torch.Generator().manual_seed(k)).double() for k in (0, 1))
    assert membership_interval(members, unseen, 100, 0.95, 0, (members, unseen)) == (0, 0)
    low, high = membership_interval(members - 9, unseen, 100, 0.95, 0, (members, unseen))
    own = membership_interval(members, unseen, 100, 0.95, 0)
    assert (low, high) == pytest.approx((1 - own[1], 1 - own[0]))


def test_true_positives_at_one_percent():
    """By hand: of 100 unseen images one has a loss below 1.0; of the members three do."""
    unseen = torch.arange(100).double()
    members = torch.tensor([-3.0, 0.2, 0.9, 1.5, 60.0]).double()
    assert true_positive_rate(members, unseen, 0.0) == pytest.approx(1 / 5)
    assert true_positive_rate(members, unseen, 0.0102) == pytest.approx(3 / 5)
