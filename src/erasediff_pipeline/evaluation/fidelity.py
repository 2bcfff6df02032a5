"""FID, precision and recall over features, and Inception Score; and how each image moves FID."""

import torch
from torch import Tensor
from torch_fidelity.metric_fid import (
    KEY_METRIC_FID,
    fid_features_to_statistics,
    fid_statistics_to_metric,
)
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
from torch_fidelity.metric_prc import (
    KEY_METRIC_PRECISION,
    KEY_METRIC_RECALL,
    prc_features_to_metric,
)

BATCH_SIZE = 2000
"""Images whose distances to all others are in memory at once, three times; with 54,000 others, 2.6 GB."""


def fidelity(generated: Tensor, real: Tensor, neighbours: int) -> dict[str, float]:
    """Measure how close generated images are to real ones, and how many of the real ones they cover.

    Args:
        generated: Features ``[N, D]`` float64.
        real: Features ``[M, D]`` float64.
        neighbours: k of precision and recall; both sets must be larger.

    Returns:
        ``fid``: Fréchet distance of the two Gaussians (arXiv 1706.08500, equation 6), 0 is best.
        ``precision``, ``recall``: shares inside the other set's k-nearest-neighbour balls, in [0, 1]
        (arXiv 1904.06991, equation 2).

    Raises:
        ValueError: A set has no more images than ``neighbours``.
    """
    if min(len(generated), len(real)) <= neighbours:
        raise ValueError(
            f"{len(generated)} generated and {len(real)} real images: expected more than {neighbours}"
        )
    statistics = [fid_features_to_statistics(features) for features in (generated, real)]
    fid = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]
    coverage = prc_features_to_metric(
        generated,
        real,
        prc_neighborhood=neighbours,
        prc_batch_size=BATCH_SIZE,
        save_cpu_ram=True,
        verbose=False,
    )
    return {
        "fid": max(0.0, fid),
        "precision": coverage[KEY_METRIC_PRECISION],
        "recall": coverage[KEY_METRIC_RECALL],
    }


def inception_score(probabilities: Tensor) -> float:
    """exp E_x KL(p(y | x) ‖ p(y)) (arXiv 1606.03498, section 4), over all images at once.

    Args:
        probabilities: p(y | x) of the classifier, ``[N, K]``, each row with sum 1. Published scores are by
            Inception, over 1000 classes: do not compare with them.

    Returns:
        In [1, K]: K if every image is surely of one class, and every class is as frequent; 1 if all images
        look alike.
    """
    logits = probabilities.double().clamp_min(torch.finfo(torch.float32).tiny).log()  # 0 · ln 0 would be NaN
    return isc_features_to_metric(logits, splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN]


def fid_influence(generated: Tensor, real: Tensor) -> Tensor:
    """Compute how much each generated image moves FID, by its influence function (Hampel 1974).

    d² = |m − m_r|² + tr(S + S_r − 2·(S·S_r)^½) has the derivative I − T with respect to S, where
    T = S_r^½·(S_r^½·S·S_r^½)^−½·S_r^½ carries the one Gaussian into the other (arXiv 1712.01504). With
    c = x − m, the influence of x is 2·c·(m − m_r) + cᵀ(I − T)c, less its mean. The standard error of FID is
    that of the mean of N influences. It needs no resampling. A bootstrap draws images twice, which raises
    every FID that it computes.

    Args:
        generated: Features ``[N, D]`` float64.
        real: Features ``[M, D]`` float64; they are taken as fixed.

    Returns:
        ``[N]`` float64, of mean 0, in units of FID.
    """
    centred = generated - generated.mean(dim=0)
    values, vectors = torch.linalg.eigh(real.T.cov())
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    values, vectors = torch.linalg.eigh(root @ generated.T.cov() @ root)
    varies = values > values.max() * 1e-12  # a direction in which nothing varies moves nothing
    transport = (root @ vectors[:, varies]) / values[varies] ** 0.25
    moved = (centred**2).sum(dim=1) - ((centred @ transport) ** 2).sum(dim=1)
    moved += 2 * centred @ (generated.mean(dim=0) - real.mean(dim=0))
    return moved - moved.mean()
