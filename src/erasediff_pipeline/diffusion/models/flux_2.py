"""FLUX.2: as FLUX.1, with one text encoder, and latents that are patches scaled by running statistics."""

from typing import ClassVar

import torch
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
from tensordict import TensorDict
from torch import Tensor

from erasediff_pipeline.diffusion.models.flow import FlowTransformer
from erasediff_pipeline.diffusion.models.prompted import Contexts

TOKENS = 512
"""What the pipeline cuts prompts to, its system message included."""


class Flux2(FlowTransformer):
    """The parts of a ``Flux2Pipeline``; x0 are patches of 2 × 2 latents as channels, scaled."""

    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder")
    contexts: ClassVar[Contexts] = {"tokenizer": TOKENS}
    patch: ClassVar[int] = 1

    @property
    def sample_shape(self) -> tuple[int, ...]:
        channels, height, width = super().sample_shape
        return (4 * channels, height // 2, width // 2)

    @property
    def image_shape(self) -> tuple[int, ...]:
        channels, height, width = super().image_shape
        return (channels, 2 * height, 2 * width)

    def shift(self, steps: int) -> float:
        return compute_empirical_mu(self.tokens, steps)

    def scale(self, latents: Tensor) -> Tensor:
        mean, std = self._statistics()
        return (self.pipeline._patchify_latents(latents) - mean) / std

    def unscale(self, x0: Tensor) -> Tensor:
        mean, std = self._statistics()
        return self.pipeline._unpatchify_latents(x0 * std + mean)

    def _statistics(self) -> tuple[Tensor, Tensor]:
        norm = self.vae.bn
        std = torch.sqrt(norm.running_var + self.vae.config.batch_norm_eps)
        return norm.running_mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)

    def embed_prompts(self, prompts: list[str]) -> TensorDict:
        embeds, _ = self.pipeline.encode_prompt(prompts, device=self.device)
        return TensorDict({"prompt_embeds": embeds}, [len(prompts)])

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        text = c["prompt_embeds"]
        packed = self.transformer(
            hidden_states=self.pipeline._pack_latents(x_t),
            timestep=t.to(x_t.dtype) / 1000,
            guidance=self.guidance_in(c),
            encoder_hidden_states=text,
            txt_ids=self.pipeline._prepare_text_ids(text).to(x_t.device),
            img_ids=self.pipeline._prepare_latent_ids(x_t).to(x_t.device),
        ).sample
        return packed.transpose(1, 2).reshape(x_t.shape)  # the pipeline's own unpacking is not for vmap
