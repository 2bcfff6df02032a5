"""What the rectified-flow transformers share."""

from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from tensordict import TensorDict

from erasediff_pipeline.diffusion.models.family import Subsets
from erasediff_pipeline.diffusion.models.prompted import Prompted
from erasediff_pipeline.diffusion.process import RectifiedFlow

GUIDANCE = 3.5
"""Guidance scale under which a distilled model is trained: FLUX.1's default, and diffusers' scripts'."""


class FlowTransformer(Prompted):
    """A transformer on latents that predicts velocities, as diffusers' pipelines sample from it.

    A model that takes guidance as an input gets 1 + w; another one is guided away from the null condition.
    """

    denoiser_name = "transformer"
    patch: ClassVar[int] = 2
    """Side of the latents in one token."""

    sigmas_given: ClassVar[bool] = True
    """Whether the pipeline gives its scheduler σ from 1 to 1/steps; otherwise that has its own."""

    subsets: ClassVar[Subsets] = {
        "full": lambda name: True,
        "attn": lambda name: ".attn." in name,
        "context": lambda name: ".attn.add_" in name or ".attn.to_add_out." in name or "context" in name,
        "notime": lambda name: not name.startswith(("time_", "norm_out.", "proj_out.")),
    }

    @staticmethod
    def process_of(scheduler: Any) -> RectifiedFlow:
        return RectifiedFlow(scheduler)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The transformer takes any size: that of the autoencoder's training."""
        side = self.vae.config.sample_size // 2 ** (len(self.vae.config.block_out_channels) - 1)
        return (self.vae.config.latent_channels, side, side)

    @property
    def tokens(self) -> int:
        """Number of tokens of one image."""
        _, height, width = self.sample_shape
        return (height // self.patch) * (width // self.patch)

    def shift(self, steps: int) -> float:
        """The shift of σ that depends on the resolution."""
        config = self.process.scheduler.config
        names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        return calculate_shift(self.tokens, *(config[name] for name in names))

    def schedule_options(self, scheduler: Any, steps: int) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self.sigmas_given and isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
            options["sigmas"] = np.linspace(1.0, 1 / steps, steps)
        if scheduler.config.get("use_dynamic_shifting"):
            options["mu"] = self.shift(steps)
        return options

    @property
    def takes_guidance(self) -> bool:
        """Whether guidance is an input of the transformer."""
        return bool(self.transformer.config.get("guidance_embeds"))

    def embed_guidance(self, c: TensorDict, guidance_scale: float) -> tuple[TensorDict, float]:
        if not self.takes_guidance:
            return c, guidance_scale
        scale = torch.full((len(c),), 1 + guidance_scale, device=self.device)
        return c.copy().set("guidance", scale), 0.0

    def guidance_in(self, c: TensorDict) -> torch.Tensor | None:
        """The guidance of each condition, ``[N]``; None if the transformer takes none."""
        if not self.takes_guidance:
            return None
        return c.get("guidance", torch.full((len(c),), GUIDANCE, device=self.device))
