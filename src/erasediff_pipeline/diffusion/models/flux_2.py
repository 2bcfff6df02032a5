"""FLUX.2: as FLUX.1, with one text encoder, and latents that are patches scaled by running statistics."""

from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
from tensordict import TensorDict
from torch import Tensor

from erasediff_pipeline.diffusion.models.family import Subsets
from erasediff_pipeline.diffusion.models.prompted import Contexts, Prompted
from erasediff_pipeline.diffusion.process import RectifiedFlow

TOKENS = 512
"""What the pipeline cuts prompts to, its system message included."""

GUIDANCE = 3.5
"""Guidance scale under which a distilled model is trained, as in diffusers' script."""


class Flux2(Prompted):
    """The parts of a ``Flux2Pipeline``; x0 are patches of 2 × 2 latents as channels, scaled."""

    denoiser_name = "transformer"
    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder")
    contexts: ClassVar[Contexts] = {"tokenizer": TOKENS}
    subsets: ClassVar[Subsets] = {
        "full": lambda name: True,
        "attn": lambda name: ".attn." in name,
        "context": lambda name: ".attn.add_" in name or ".attn.to_add_out." in name or "context" in name,
        "notime": lambda name: not name.startswith(("time_guidance_embed.", "norm_out.", "proj_out.")),
    }

    @staticmethod
    def process_of(scheduler: Any) -> RectifiedFlow:
        return RectifiedFlow(scheduler)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The transformer takes any size: that of the autoencoder's training."""
        side = self.vae.config.sample_size // 2 ** len(self.vae.config.block_out_channels)
        return (4 * self.vae.config.latent_channels, side, side)

    @property
    def image_shape(self) -> tuple[int, ...]:
        channels, height, width = super().image_shape
        return (channels, 2 * height, 2 * width)

    def schedule_options(self, scheduler: Any, steps: int) -> dict[str, Any]:
        _, height, width = self.sample_shape
        options: dict[str, Any] = {}
        if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
            options["sigmas"] = np.linspace(1.0, 1 / steps, steps)
        if scheduler.config.get("use_dynamic_shifting"):
            options["mu"] = compute_empirical_mu(height * width, steps)
        return options

    def scale(self, latents: Tensor) -> Tensor:
        mean, std = self._statistics()
        return (self.pipeline._patchify_latents(latents) - mean) / std

    def unscale(self, x0: Tensor) -> Tensor:
        mean, std = self._statistics()
        return self.pipeline._unpatchify_latents(x0 * std + mean)

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the patches, ``[1, C, 1, 1]``."""
        norm = self.vae.bn
        std = torch.sqrt(norm.running_var + self.vae.config.batch_norm_eps)
        return norm.running_mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)

    def embed_prompts(self, prompts: list[str]) -> TensorDict:
        embeds, _ = self.pipeline.encode_prompt(prompts, device=self.device)
        return TensorDict({"prompt_embeds": embeds}, [len(prompts)])

    def embed_guidance(self, c: TensorDict, guidance_scale: float) -> tuple[TensorDict, float]:
        scale = torch.full((len(c),), 1 + guidance_scale, device=self.device)
        return c.copy().set("guidance", scale), 0.0

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        text = c["prompt_embeds"]
        packed = self.transformer(
            hidden_states=self.pipeline._pack_latents(x_t),
            timestep=t.to(x_t.dtype) / 1000,
            guidance=c.get("guidance", torch.full((len(c),), GUIDANCE, device=x_t.device)),
            encoder_hidden_states=text,
            txt_ids=self.pipeline._prepare_text_ids(text).to(x_t.device),
            img_ids=self.pipeline._prepare_latent_ids(x_t).to(x_t.device),
        ).sample
        return packed.transpose(1, 2).reshape(x_t.shape)  # the pipeline's own unpacking is not for vmap
