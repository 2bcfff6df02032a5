"""KID, the distance of two sets of features by a polynomial kernel, and how each image moves it."""

from torch import Tensor

ROWS = 500
"""Images whose kernels with all others are in memory at once; with 54,000 others, 0.2 GB."""


def mean_similarity(features: Tensor) -> float:
    """Mean kernel of two different images; ``features`` is ``[M, D]`` float64, M ≥ 2."""
    return float(_others(features).mean())


def kid(generated: Tensor, real: Tensor, similarity: float) -> tuple[float, Tensor]:
    """Compute KID, and how much each generated image moves it.

    KID is the unbiased squared MMD under the kernel k(x, y) = (x·y / D + 1)³ (arXiv 1801.01401, section 4),
    over all images at once, not over subsets:

        mean k(x, x′) − 2·mean k(x, y) + mean k(y, y′),    x ≠ x′ generated, y ≠ y′ real.

    The influence of x is 2·(mean k(x, x′) − mean k(x, y)), less its mean.

    Args:
        generated: Features ``[N, D]`` float64, N ≥ 2.
        real: Features ``[M, D]`` float64; they are taken as fixed.
        similarity: ``mean_similarity(real)``.

    Returns:
        KID, 0 is best, slightly below 0 if the two are alike; and the influences, ``[N]`` float64.
    """
    within, across = _others(generated), _means(generated, real)
    influence = 2 * (within - across)
    value = float(within.mean() - 2 * across.mean()) + similarity
    return value, influence - influence.mean()


def _means(x: Tensor, y: Tensor) -> Tensor:
    """Mean kernel of each x with all y, ``[N]``."""
    means = x.new_empty(len(x))
    for start in range(0, len(x), ROWS):
        rows = x[start : start + ROWS]
        means[start : start + ROWS] = _kernel(rows @ y.T / x.shape[1]).mean(dim=1)
    return means


def _others(x: Tensor) -> Tensor:
    """Mean kernel of each x with all others, ``[N]``."""
    itself = _kernel((x**2).sum(dim=1) / x.shape[1])
    return (_means(x, x) * len(x) - itself) / (len(x) - 1)


def _kernel(product: Tensor) -> Tensor:
    """k of the inner product per dimension."""
    return (product + 1) ** 3
