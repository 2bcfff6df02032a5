import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from erasediff_pipeline.evaluation.kernel import kid, mean_similarity
from erasediff_pipeline.evidence.intervals import stratified_error


def draw(n, shift=0.0, seed=0, d=4):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)) + shift)


@pytest.mark.parametrize("n", [40, 700])
def test_kid_is_that_of_torch_fidelity(n):
    """Over one subset, of all images; the larger set needs two blocks of rows."""
    x, y = draw(n), draw(n, 0.3, seed=1)
    expected = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=n, verbose=False)
    assert kid(x, y, mean_similarity(y))[0] == pytest.approx(expected[KEY_METRIC_KID_MEAN], rel=1e-9)


def test_kid_of_two_points_each():
    """D = 1: k(0, 2) = 1, k(1, 3) = 64, and across 1, 1, 27, 343."""
    x, y = torch.tensor([[0.0], [2.0]]).double(), torch.tensor([[1.0], [3.0]]).double()
    value, influence = kid(x, y, mean_similarity(y))
    assert value == pytest.approx(1 - 2 * (1 + 1 + 27 + 343) / 4 + 64)
    assert influence.tolist() == pytest.approx([184, -184])  # 2·(1 − 1) and 2·(1 − 185), less their mean


def test_influences_give_the_spread_of_kid_between_draws():
    real = draw(2000, 0.5)
    similarity = mean_similarity(real)
    found = [kid(draw(200, seed=seed), real, similarity) for seed in range(1, 61)]
    spread = np.std([value for value, _ in found], ddof=1)
    errors = [stratified_error(influence.numpy(), np.zeros(200)) for _, influence in found]
    assert np.mean(errors) == pytest.approx(spread, rel=0.25)
