import numpy as np
import pytest
import torch

from erasediff_pipeline.evaluation.fidelity import fidelity


def gaussian(mean, covariance, n=400, seed=0):
    """Features whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return torch.from_numpy(x @ np.linalg.cholesky(covariance).T + mean)


def rotate(*variances):
    q, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((len(variances), len(variances))))
    return q @ np.diag(variances) @ q.T


def test_fid_of_shifted_gaussians_is_the_squared_shift():
    covariance = rotate(1.0, 4.0, 0.25)
    a = gaussian(np.zeros(3), covariance, seed=0)
    b = gaussian(np.array([1.0, -2.0, 0.5]), covariance, seed=1)
    assert fidelity(a, b, 3)["fid"] == pytest.approx(1 + 4 + 0.25, abs=1e-4)


def test_fid_of_gaussians_with_the_same_axes():
    """|m₁ − m₂|² + Σ (σ₁ − σ₂)², whatever the rotation."""
    a = gaussian(np.zeros(3), rotate(1.0, 4.0, 9.0), seed=0)
    b = gaussian(np.full(3, 2.0), rotate(4.0, 4.0, 1.0), seed=1)
    assert fidelity(a, b, 3)["fid"] == pytest.approx(12 + 1 + 0 + 4, abs=1e-4)


def test_fid_of_gaussians_with_other_axes():
    """In the plane, tr √(AB) = √(tr AB + 2·√det AB)."""
    first, second = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, -0.5], [-0.5, 2.0]])
    product = first @ second
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = 1 + np.trace(first) + np.trace(second) - 2 * root
    a, b = gaussian(np.zeros(2), first, seed=0), gaussian(np.array([0.0, 1.0]), second, seed=1)
    assert fidelity(a, b, 3)["fid"] == pytest.approx(expected, abs=1e-4)


def test_identical_features():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 4)))
    scores = fidelity(x, x.clone(), 3)
    assert scores["fid"] == pytest.approx(0, abs=1e-6)
    assert (scores["precision"], scores["recall"]) == (1, 1)


def test_dead_features_do_no_harm():
    """A judge's ReLU may be silent for every image: the covariance is then singular."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 4)))
    x = torch.cat([x, torch.zeros(50, 3)], dim=1)
    assert fidelity(x, x.clone(), 3)["fid"] == pytest.approx(0, abs=1e-6)


def test_disjoint_features():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 4)))
    scores = fidelity(x, x + 1000, 3)
    assert scores["fid"] == pytest.approx(4 * 1000**2, rel=1e-6)
    assert (scores["precision"], scores["recall"]) == (0, 0)


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
    with pytest.raises(
        ValueError, match=f"{generated} generated and {real} real images: expected more than 3"
    ):
        fidelity(torch.randn(generated, 4).double(), torch.randn(real, 4).double(), 3)
