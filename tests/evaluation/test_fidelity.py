import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from erasediff_pipeline.evaluation.fidelity import fid_influence, fidelity, inception_score
from erasediff_pipeline.evidence.intervals import stratified_error

X = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 4)))


def gaussian(mean, covariance, n=400, seed=0):
    """Features whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return torch.from_numpy(x @ np.linalg.cholesky(covariance).T + mean)


def rotate(*variances):
    q, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((len(variances), len(variances))))
    return q @ np.diag(variances) @ q.T


PLANE = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, -0.5], [-0.5, 2.0]])
PRODUCT = PLANE[0] @ PLANE[1]
ROOT = np.sqrt(np.trace(PRODUCT) + 2 * np.sqrt(np.linalg.det(PRODUCT)))


@pytest.mark.parametrize(
    ("first", "second", "shift", "expected"),
    [
        (rotate(1.0, 4.0, 0.25), rotate(1.0, 4.0, 0.25), [1.0, -2.0, 0.5], 1 + 4 + 0.25),
        (rotate(1.0, 4.0, 9.0), rotate(4.0, 4.0, 1.0), [2.0, 2.0, 2.0], 12 + 1 + 0 + 4),
        (*PLANE, [0.0, 1.0], 1 + 5 + 3 - 2 * ROOT),
    ],
    ids=["the same covariance", "the same axes", "other axes"],
)
def test_fid_of_gaussians(first, second, shift, expected):
    """The squared shift and, with the same axes, Σ (σ₁ − σ₂)², whatever the rotation.

    In the plane, tr √(AB) = √(tr AB + 2·√det AB).
    """
    a, b = gaussian(np.zeros(len(first)), first, seed=0), gaussian(np.array(shift), second, seed=1)
    assert fidelity(a, b, 3)["fid"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("features", "shift", "fid", "share"),
    [
        (X, 0, pytest.approx(0, abs=1e-6), 1),
        (torch.cat([X, torch.zeros(50, 3)], dim=1), 0, pytest.approx(0, abs=1e-6), 1),
        (X, 1000, pytest.approx(4 * 1000**2, rel=1e-6), 0),
    ],
    ids=["identical", "dead", "disjoint"],
)
def test_the_same_features_and_others(features, shift, fid, share):
    """A judge's ReLU may be silent, dead, for every image: the covariance is then singular."""
    assert fidelity(features, features + shift, 3) == {"fid": fid, "precision": share, "recall": share}


def test_precision_is_of_the_generated_and_recall_of_the_real():
    """Generated images show one of two far clusters: all are real, half of the real is covered."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 2)))
    real = torch.cat([x, x + 1000])
    one_mode, reversed_roles = fidelity(x, real, 3), fidelity(real, x, 3)
    assert (one_mode["precision"], one_mode["recall"]) == (1, 0.5)
    assert (reversed_roles["precision"], reversed_roles["recall"]) == (0.5, 1)


def test_many_images_are_compared_in_parts(monkeypatch):
    x, y = (torch.from_numpy(np.random.default_rng(seed).standard_normal((45, 6))) for seed in (0, 1))
    whole = fidelity(x, y, 3)
    monkeypatch.setattr("erasediff_pipeline.evaluation.fidelity.BATCH_SIZE", 20)
    distances, compared = torch.cdist, []
    monkeypatch.setattr(torch, "cdist", lambda a, b: compared.append((len(a), len(b))) or distances(a, b))
    assert fidelity(x, y, 3) == whole
    assert max(max(pair) for pair in compared) == 20
    assert 0 < whole["precision"] < 1


@pytest.mark.parametrize(("generated", "real"), [(3, 50), (50, 3)])
def test_too_few_images_are_refused(generated, real):
    said = f"{generated} generated and {real} real images: expected more than 3"
    with pytest.raises(ValueError, match=said):
        fidelity(X[:generated], X[:real], 3)


@pytest.mark.parametrize(
    ("probabilities", "score"),
    [
        (torch.eye(4).repeat(5, 1), 4),
        (torch.eye(4)[:2].repeat(5, 1), 2),
        (torch.eye(4)[:1].repeat(5, 1), 1),
        (torch.full((6, 4), 0.25), 1),
        (torch.tensor([[0.9, 0.1], [0.1, 0.9]]), 2 * 0.9**0.9 * 0.1**0.1),
    ],
    ids=["every class, surely", "half of the classes", "one class", "no idea", "by hand"],
)
def test_inception_score_of_known_answers(probabilities, score):
    """exp(H(y) − H(y | x)); with probabilities of 0 it is a number, too."""
    assert inception_score(probabilities) == pytest.approx(score, rel=1e-6)


def test_influence_is_the_derivative_of_fid():
    """One image counts ε more, the others less by as much; FID then moves by ε·ψ, to the first order."""
    x, y = gaussian(np.zeros(3), rotate(1.0, 4.0, 9.0), 60), gaussian(np.ones(3), rotate(4.0, 2.0, 1.0), 80)
    found, size = fid_influence(x, y), 2000
    assert found.mean() == pytest.approx(0, abs=1e-9)
    for row in (0, 7):
        more = torch.cat([x.repeat(size, 1), x[row].expand(60, 3)])
        moved = (fidelity_of(more, y) - fidelity_of(x.repeat(size, 1), y)) * (size + 1)
        assert moved == pytest.approx(float(found[row]), rel=0.05, abs=0.02)


def fidelity_of(x, y):
    statistics = [fid_features_to_statistics(features) for features in (x, y)]
    return fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]


@pytest.mark.parametrize("shared", [0.0, 0.9], ids=["two draws", "pairs"])
def test_the_interval_of_a_ratio_covers_as_often_as_it_says(shared):
    """Draws of one model, of unequal clusters, against fixed real features: the ratio is 1.

    A draw has 40 images of each of 3 clusters; with ``shared``, the two draws have most noise in common.
    """
    centres, labels = np.array([[0.0, 0, 0, 0], [4, 0, 0, 0], [0, 6, 0, 0]]), np.arange(120) % 3
    real, covered, rounds = gaussian(np.ones(4), rotate(6.0, 5.0, 1.0, 2.0)), 0, 200
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        common, *own = rng.standard_normal((3, 120, 4))
        noises = (shared * common + np.sqrt(1 - shared**2) * noise for noise in own)
        change, logarithm = 0, 0
        for noise, sign in zip(noises, (1, -1), strict=True):
            drawn = torch.from_numpy(noise + centres[labels])
            fid = fidelity_of(drawn, real)
            change = change + sign * fid_influence(drawn, real).numpy() / fid
            logarithm += sign * np.log(fid)
        covered += abs(logarithm) <= 1.96 * stratified_error(change, labels)
    assert 0.91 <= covered / rounds <= 0.99
