"""Membership: does the denoising loss tell forgotten images from unseen ones?"""

import numpy as np
import torch
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score
from torch import Tensor

from erasediff_pipeline.config import EvaluationSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.seeding import derive_seed, make_generator


@torch.no_grad()
def denoising_losses(
    model: DiffusionModel,
    data: LabelledImages,
    settings: EvaluationSettings,
    seed: int,
    batch_size: int,
) -> Tensor:
    """Compute the denoising loss of each image, averaged over evenly spaced timesteps and several noises.

    ℓ_n = mean over t and ε of ‖ε − ε_θ(x_t, t, c)‖² / d, d the number of elements of x0: the statistic of
    membership inference by loss (arXiv 2302.01316).

    Args:
        model: The model; it is left in evaluation mode.
        data: N images, each under the number of its condition.
        settings: ``membership_timesteps`` and ``membership_noises`` are used.
        seed: Seed of the noise.
        batch_size: Images per batch; it changes memory use, and the losses only by rounding.

    Returns:
        ``[N]`` float64. The noise depends on seed, timestep, draw and row, not on the model.
    """
    model.eval()
    read = (data.tensors(slice(start, start + batch_size)) for start in range(0, len(data), batch_size))
    encoded, labels = zip(*((model.encode(images), labels) for images, labels in read), strict=True)
    x0, c = torch.cat(encoded), model.condition(torch.cat(labels))
    spaced = torch.linspace(0, model.timesteps - 1, settings.membership_timesteps + 2)[1:-1]
    total = torch.zeros(len(data), dtype=torch.float64)
    for timestep in spaced.long().tolist():
        for draw in range(settings.membership_noises):
            generator = make_generator(seed, "membership", timestep, draw)
            eps = torch.randn(x0.shape, generator=generator).to(x0.device)
            for rows in torch.arange(len(data)).split(batch_size):
                t = torch.full((len(rows),), timestep, device=x0.device)
                x_t = model.noise(x0[rows], t, eps[rows])
                target = model.target(x0[rows], t, eps[rows])
                error = (model.denoise(x_t, t, c[rows]) - target).square().flatten(1).mean(dim=1)
                total[rows] += error.double().cpu()
    return total / (settings.membership_timesteps * settings.membership_noises)


def membership_interval(
    members: Tensor, unseen: Tensor, draws: int, confidence: float, seed: int
) -> tuple[float, float]:
    """Compute the bootstrap interval of :func:`membership_auc`.

    Both sets are resampled with replacement; the ends are percentiles of the resampled AUCs (Efron, Bootstrap
    methods, Annals of Statistics 7, 1979; percentile interval: Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 13).

    Args:
        members: Losses ``[N]`` of the forgotten images.
        unseen: Losses ``[M]`` of images that were never trained on.
        draws: Number of resamples.
        confidence: Level, for example 0.95.
        seed: Seed of the bootstrap.

    Returns:
        The two ends, in [0, 1].
    """
    result = bootstrap(
        (members.numpy(), unseen.numpy()),
        lambda a, b: membership_auc(torch.from_numpy(a), torch.from_numpy(b)),
        n_resamples=draws,
        vectorized=False,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(derive_seed(seed, "membership bootstrap")),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def true_positive_rate(members: Tensor, unseen: Tensor, false_positive_rate: float = 0.01) -> float:
    """True positive rate at a threshold with at most this false positive rate (arXiv 2112.03570, section IV).

    With few unseen images, the threshold is the lowest loss among them.

    Args:
        members: Losses ``[N]`` of the forgotten images.
        unseen: Losses ``[M]`` of images that were never trained on.
        false_positive_rate: In [0, 1].

    Returns:
        Share of members with a loss below the threshold, in [0, 1].
    """
    threshold = torch.quantile(unseen, false_positive_rate, interpolation="lower")
    return float((members < threshold).double().mean())


def membership_auc(members: Tensor, unseen: Tensor) -> float:
    """Probability that a member's loss is lower than an unseen image's; 0.5 = forgotten.

    The area under the ROC curve of a threshold on the loss (arXiv 2302.01316).

    Args:
        members: Losses ``[N]`` of the forgotten images.
        unseen: Losses ``[M]`` of images of the same classes that were never trained on.
    """
    truth = np.r_[np.ones(len(members)), np.zeros(len(unseen))]
    return float(roc_auc_score(truth, -torch.cat([members, unseen]).numpy()))
