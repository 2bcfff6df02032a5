"""Membership: does the model's prediction tell forgotten images from unseen ones?"""

import numpy as np
import torch
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score
from tensordict import TensorDict
from torch import Tensor

from erasediff_pipeline.config import EvaluationSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.seeding import derive_seed


@torch.no_grad()
def proximal_errors(
    model: DiffusionModel, data: LabelledImages, settings: EvaluationSettings, batch_size: int
) -> Tensor:
    """Compute the error of each image when its own predicted noise is added to it: PIA (arXiv 2305.18355).

    ‖ε_θ(x_t, t, c) − ε₀‖₂ with ε₀ = ε_θ(x0, t₀, c), t₀ the first time, and x_t the image noised by ε₀. It
    takes two evaluations and draws nothing. Images that the model was trained on have small errors. The paper
    has the 4-norm; the 2-norm tells members of the digits' base model a little better.

    The paper has no rectified flow. There v = ε − x0 and x_t = x0 + σ·v, so that ε_θ = x_t + (1 − σ)·v_θ
    (``RectifiedFlow.to_noise``). At t₀, where σ is near 0 and x_t is taken to be x0, ε₀ = x0 + v_θ, as in the
    paper the noise that the model finds in an image without noise.

    Args:
        model: The model; it is left in evaluation mode.
        data: N images, each under the number of its condition.
        settings: ``membership_time`` is used.
        batch_size: Images per batch; it changes memory use, and the errors only by rounding.

    Returns:
        ``[N]`` float64, at least 0, in units of the noise.
    """
    model.eval()
    errors = []
    for start in range(0, len(data), batch_size):
        images, labels = data.tensors(slice(start, start + batch_size))
        x0, c = model.encode(images), model.condition(labels)
        times = model.process.times.to(x0.device)
        first = times[:1].expand(len(x0))
        t = times[[round(settings.membership_time * (len(times) - 1))]].expand(len(x0))
        own = predict_noise(model, x0, first, c)
        error = predict_noise(model, model.process.noise(x0, t, own), t, c) - own
        errors.append(error.flatten(1).double().norm(dim=1).cpu())
    return torch.cat(errors)


def predict_noise(model: DiffusionModel, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
    """Compute the ε that the prediction stands for, float32; arguments and shape as for ``denoise``."""
    return model.process.to_noise(x_t, t, model.denoise(x_t, t, c).float())


def membership_interval(
    members: Tensor,
    unseen: Tensor,
    draws: int,
    confidence: float,
    seed: int,
    reference: tuple[Tensor, Tensor] | None = None,
) -> tuple[float, float]:
    """Compute the bootstrap interval of :func:`membership_auc`, or of its difference to another model's.

    Both sets are resampled with replacement; the ends are percentiles of the resampled AUCs (Efron, Bootstrap
    methods, Annals of Statistics 7, 1979; percentile interval: Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 13).

    Args:
        members: Errors ``[N]`` of the forgotten images.
        unseen: Errors ``[M]`` of images that were never trained on.
        draws: Number of resamples.
        confidence: Level, for example 0.95.
        seed: Seed of the bootstrap.
        reference: The other model's errors of the same images. The images of a resample are the same for
            both models, so what makes an image easy for both does not widen the interval.

    Returns:
        The two ends, in [0, 1]; of a difference, in [−1, 1].
    """

    def statistic(known: np.ndarray, new: np.ndarray) -> float:
        auc = membership_auc(members[known], unseen[new])
        return auc if reference is None else auc - membership_auc(reference[0][known], reference[1][new])

    result = bootstrap(
        (np.arange(len(members)), np.arange(len(unseen))),
        statistic,
        n_resamples=draws,
        vectorized=False,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(derive_seed(seed, "membership bootstrap")),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def true_positive_rate(members: Tensor, unseen: Tensor, false_positive_rate: float = 0.01) -> float:
    """True positive rate at a threshold with at most this false positive rate (arXiv 2112.03570, section IV).

    With few unseen images, the threshold is the lowest error among them.

    Args:
        members: Errors ``[N]`` of the forgotten images.
        unseen: Errors ``[M]`` of images that were never trained on.
        false_positive_rate: In [0, 1].

    Returns:
        Share of members with an error below the threshold, in [0, 1].
    """
    threshold = torch.quantile(unseen, false_positive_rate, interpolation="lower")
    return float((members < threshold).double().mean())


def membership_auc(members: Tensor, unseen: Tensor) -> float:
    """Probability that a member's error is lower than an unseen image's; 0.5 = forgotten.

    The area under the ROC curve of a threshold on the error.

    Args:
        members: Errors ``[N]`` of the forgotten images.
        unseen: Errors ``[M]`` of images of the same classes that were never trained on.
    """
    truth = np.r_[np.ones(len(members)), np.zeros(len(unseen))]
    return float(roc_auc_score(truth, -torch.cat([members, unseen]).numpy()))
