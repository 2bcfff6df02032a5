"""Forward processes: how images become noise, and which prediction leads back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_density_for_timestep_sampling
from torch import Generator, Tensor

PREDICTIONS = ("epsilon", "v_prediction", "sample")


class Process(ABC):
    """A forward process, on a grid of T times."""

    own: Any
    """The scheduler that the model was saved with."""

    scheduler: Any
    """Has the noise schedule; other samplers are built from its configuration."""

    sampler_options: Mapping[str, Any] = MappingProxyType({})
    """Settings that these need besides."""

    times: Tensor
    """The grid, ``[T]``, as the denoiser takes them; noise grows along it."""

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Draw times of the grid, ``[count]``, as the model is trained; by default uniformly."""
        rows = torch.randint(len(self.times), (count,), generator=generator, device=generator.device)
        return self.times.to(rows.device)[rows]

    def places(self, t: Tensor) -> Tensor:
        """Times of the grid ``[N]`` → their places on it, ``[N]`` int64 in [0, T)."""
        return torch.searchsorted(self.times.to(t.device), t)

    @abstractmethod
    def noise(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Compute x_t.

        Args:
            x0: ``[N, …]`` float.
            t: Times, ``[N]``.
            eps: ε, standard normal noise, shaped like ``x0``.

        Returns:
            Shaped like ``x0``.
        """

    @abstractmethod
    def target(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Compute what the model should predict for ``noise(x0, t, eps)``; arguments and shape as there."""

    @abstractmethod
    def to_noise(self, x_t: Tensor, t: Tensor, prediction: Tensor) -> Tensor:
        """Compute the ε that a prediction for x_t stands for; all are shaped like ``x_t``."""

    @abstractmethod
    def find_fault(self) -> str:
        """Say why this process cannot use the model's own scheduler; empty if it can."""

    def weigh(self, errors: Tensor, t: Tensor) -> Tensor:
        """Weigh squared errors ``[N, …]`` of predictions as the model is trained; by default all alike."""
        return errors


class VariancePreserving(Process):
    """x_t = √ᾱ_t·x0 + √(1 − ᾱ_t)·ε (arXiv 2006.11239, equation 4).

    The prediction is ε, x0, or v = √ᾱ_t·ε − √(1 − ᾱ_t)·x0 (arXiv 2202.00512, section 4), as the scheduler
    says.

    Args:
        scheduler: Any of diffusers with such a noise schedule.
        options: Settings of a ``DDPMScheduler`` that replace the scheduler's own.
    """

    def __init__(self, scheduler: Any, **options: Any):
        self.own = scheduler
        if str(scheduler.config.get("variance_type")).startswith("learned"):
            options["variance_type"] = "fixed_small"  # the families cut a learned variance off
        self.scheduler = DDPMScheduler.from_config(scheduler.config, **options)
        self.times = torch.arange(self.scheduler.config.num_train_timesteps)

    def find_fault(self) -> str:
        kind, config = type(self.own).__name__, self.own.config
        if config.get("prediction_type") not in PREDICTIONS:
            found = config.get("prediction_type")
            return f"prediction_type {found!r}: expected one of {', '.join(PREDICTIONS)}"
        if getattr(self.own, "alphas_cumprod", None) is None:
            return f"scheduler {kind}: expected one that adds noise as DDPM does, for example DDPMScheduler"
        return ""

    @classmethod
    def of_latents(cls, scheduler: Any) -> "VariancePreserving":
        """The process of a latent model, whose x0 are not clipped unless the scheduler says so.

        Without that setting, diffusers would clip latents like pixels.
        """
        return cls(scheduler, clip_sample=scheduler.config.get("clip_sample", False))

    def noise(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        return self.scheduler.add_noise(x0, eps, t)

    def target(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        if self.scheduler.config.prediction_type == "v_prediction":
            return self.scheduler.get_velocity(x0, eps, t)
        return x0 if self.scheduler.config.prediction_type == "sample" else eps

    def to_noise(self, x_t: Tensor, t: Tensor, prediction: Tensor) -> Tensor:
        """ε = √(1 − ᾱ_t)·x_t + √ᾱ_t·v, or (x_t − √ᾱ_t·x0) / √(1 − ᾱ_t), by what the model predicts."""
        if self.scheduler.config.prediction_type == "v_prediction":
            return self.scheduler.get_velocity(-x_t, prediction, t)
        if self.scheduler.config.prediction_type == "sample":
            none = torch.zeros_like(x_t)
            return (x_t - self.noise(prediction, t, none)) / self.noise(none, t, torch.ones_like(x_t))
        return prediction


class RectifiedFlow(Process):
    """x_t = (1 − σ)·x0 + σ·ε, and the prediction is v = ε − x0 (arXiv 2403.03206, equations 13 and 14).

    Times are t = T·σ, float; the grid has the scheduler's shift, but for one that depends on the resolution,
    as in diffusers' training scripts.

    Args:
        scheduler: A ``FlowMatchEulerDiscreteScheduler``.
        density: How places on the grid are drawn: ``uniform``, or ``logit_normal`` (section 3.1 there).
        preconditioned: Weigh squared errors by σ², which makes them those of x0 = x_t − σ·v.
    """

    def __init__(
        self,
        scheduler: FlowMatchEulerDiscreteScheduler,
        density: str = "uniform",
        preconditioned: bool = False,
    ):
        self.own = scheduler
        # A new one, since a scheduler that has sampled keeps the grid of that sampling.
        self.scheduler = FlowMatchEulerDiscreteScheduler.from_config(scheduler.config)
        self.sampler_options = {
            "prediction_type": "flow_prediction",
            "use_flow_sigmas": True,
            "use_karras_sigmas": False,
            "flow_shift": self.scheduler.config.shift,
        }
        self.times = self.scheduler.timesteps.flip(0)
        self.density, self.preconditioned = density, preconditioned

    def find_fault(self) -> str:
        if isinstance(self.own, FlowMatchEulerDiscreteScheduler):
            return ""
        kind = type(self.own).__name__
        return f"scheduler {kind}: expected FlowMatchEulerDiscreteScheduler, which the model was trained with"

    def draw(self, count: int, generator: Generator) -> Tensor:
        u = compute_density_for_timestep_sampling(
            self.density, count, logit_mean=0.0, logit_std=1.0, generator=generator, device=generator.device
        )
        rows = (u * len(self.times)).long().clamp(max=len(self.times) - 1)
        return self.times.to(rows.device)[len(self.times) - 1 - rows]

    def noise(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        sigma = self._sigma(t, x0)
        return (1 - sigma) * x0 + sigma * eps

    def target(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        return eps - x0

    def to_noise(self, x_t: Tensor, t: Tensor, prediction: Tensor) -> Tensor:
        """ε = x_t + (1 − σ)·v, since x_t = x0 + σ·v."""
        return x_t + (1 - self._sigma(t, x_t)) * prediction

    def weigh(self, errors: Tensor, t: Tensor) -> Tensor:
        return self._sigma(t, errors).square() * errors if self.preconditioned else errors

    def _sigma(self, t: Tensor, like: Tensor) -> Tensor:
        """σ of times ``[N]``, ``[N, 1, …]``."""
        sigma = t.to(like) / self.scheduler.config.num_train_timesteps
        return sigma.view(-1, *[1] * (like.dim() - 1))
