"""FLUX.1: a rectified-flow transformer on packed latents, with guidance as an input."""

from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from tensordict import TensorDict
from torch import Tensor

from erasediff_pipeline.diffusion.models.family import Subsets
from erasediff_pipeline.diffusion.models.prompted import Contexts, Prompted
from erasediff_pipeline.diffusion.process import RectifiedFlow

TOKENS = 512
"""What the pipeline cuts T5's prompts to; CLIP's are cut earlier."""

GUIDANCE = 3.5
"""Guidance scale under which a distilled model is trained: that of the pipeline and of diffusers' script."""


class Flux(Prompted):
    """The parts of a ``FluxPipeline``; x0 are latents before they are packed.

    A model that takes guidance as an input gets 1 + w; another one, such as schnell, is guided away from the
    empty prompt.
    """

    denoiser_name = "transformer"
    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder", "text_encoder_2")
    contexts: ClassVar[Contexts] = {"tokenizer": None, "tokenizer_2": TOKENS}
    subsets: ClassVar[Subsets] = {
        "full": lambda name: True,
        "attn": lambda name: ".attn." in name,
        "context": lambda name: ".attn.add_" in name or ".attn.to_add_out." in name or "context" in name,
        "notime": lambda name: not name.startswith(("time_text_embed.", "norm_out.", "proj_out.")),
    }

    @staticmethod
    def process_of(scheduler: Any) -> RectifiedFlow:
        return RectifiedFlow(scheduler)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The transformer takes any size: that of the autoencoder's training."""
        side = self.vae.config.sample_size // 2 ** (len(self.vae.config.block_out_channels) - 1)
        return (self.vae.config.latent_channels, side, side)

    def schedule_options(self, scheduler: Any, steps: int) -> dict[str, Any]:
        _, height, width = self.sample_shape
        options: dict[str, Any] = {}
        if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
            options["sigmas"] = np.linspace(1.0, 1 / steps, steps)
        if scheduler.config.get("use_dynamic_shifting"):
            config = self.process.scheduler.config
            names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
            options["mu"] = calculate_shift(height * width // 4, *(config[name] for name in names))
        return options

    def embed_prompts(self, prompts: list[str]) -> TensorDict:
        embeds, pooled, _ = self.pipeline.encode_prompt(prompts, device=self.device)
        return TensorDict({"prompt_embeds": embeds, "pooled_embeds": pooled}, [len(prompts)])

    def embed_guidance(self, c: TensorDict, guidance_scale: float) -> tuple[TensorDict, float]:
        if not self.transformer.config.guidance_embeds:
            return c, guidance_scale
        scale = torch.full((len(c),), 1 + guidance_scale, device=self.device)
        return c.copy().set("guidance", scale), 0.0

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        count, channels, height, width = x_t.shape
        text = c["prompt_embeds"]
        guidance = None
        if self.transformer.config.guidance_embeds:
            guidance = c.get("guidance", torch.full((count,), GUIDANCE, device=x_t.device))
        packed = self.transformer(
            hidden_states=self.pipeline._pack_latents(x_t, count, channels, height, width),
            timestep=t.to(x_t.dtype) / 1000,
            guidance=guidance,
            pooled_projections=c["pooled_embeds"],
            encoder_hidden_states=text,
            txt_ids=x_t.new_zeros(text.shape[1], 3),
            img_ids=self.pipeline._prepare_latent_image_ids(
                count, height // 2, width // 2, x_t.device, x_t.dtype
            ),
        ).sample
        return self.pipeline._unpack_latents(packed, height, width, 1)
