"""How images are drawn and evaluated."""

from typing import Literal

from pydantic import Field

from erasediff_pipeline.config.base import Settings

Sampler = Literal["dpm_solver", "sde_dpm_solver", "ddim", "ddpm", "own"]
FidBackend = Literal["classifier", "efficientnet_lite0"]


class SamplingSettings(Settings):
    """How images are drawn from a model."""

    sampler: Sampler = "dpm_solver"
    """``dpm_solver`` (DPM-Solver++, arXiv 2211.01095), ``sde_dpm_solver`` (its stochastic form at the noise
    levels of arXiv 2206.00364, equation 5), ``ddim`` (arXiv 2010.02502), ``ddpm`` (arXiv 2006.11239), or
    ``own``, the scheduler that the model was saved with. A rectified flow takes the first two and its own."""

    steps: int = Field(15, ge=1)
    """Denoising steps for each image; at most ``denoiser.timesteps``."""

    guidance_scale: float = Field(0.25, ge=0)
    """w in (1 + w)·ε(x, c) − w·ε(x, null) (arXiv 2207.12598, equation 6); 0 is no guidance."""

    batch_size: int = Field(256, ge=1)
    """Images in a batch, when drawing and in the membership test. It changes memory, and results by rounding
    only."""


class EvaluationSettings(Settings):
    """How many images are drawn, and how they are measured."""

    forget_samples: int = Field(200, ge=1)
    """Images to draw under each forgotten class."""

    retain_samples: int = Field(100, ge=2)
    """Images to draw under each retained class."""

    max_samples: int | None = Field(None, ge=1)
    """Most images to draw under each class. While an interval contains the limit of its gate, ``unlearn``
    doubles ``forget_samples`` and ``retain_samples`` up to it. Null is four times each of them; 1 draws no
    more."""

    fid_backend: FidBackend = "classifier"
    """Features for FID, precision and recall. ``classifier``: the penultimate layer of the classifier.
    ``efficientnet_lite0``: a network with ImageNet weights; needs the extra ``efficientnet``."""

    precision_neighbours: int = Field(3, ge=1)
    """k of the k-nearest-neighbour balls of precision and recall (arXiv 1904.06991); less than
    ``retain_samples``."""

    membership_time: float = Field(0.05, gt=0, lt=1)
    """Noise level t ÷ T at which the membership test adds the model's own noise to an image: PIA (arXiv
    2305.18355). Members of the digits' base model are told best at 0.035 to 0.075."""
