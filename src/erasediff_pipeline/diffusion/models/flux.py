"""FLUX.1: a rectified-flow transformer on packed latents."""

from typing import ClassVar

from tensordict import TensorDict
from torch import Tensor

from erasediff_pipeline.diffusion.models.flow import FlowTransformer
from erasediff_pipeline.diffusion.models.prompted import Contexts

TOKENS = 512
"""What the pipeline cuts T5's prompts to; CLIP's are cut earlier."""


class Flux(FlowTransformer):
    """The parts of a ``FluxPipeline``; x0 are latents before they are packed."""

    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder", "text_encoder_2")
    contexts: ClassVar[Contexts] = {"tokenizer": None, "tokenizer_2": TOKENS}

    def embed_prompts(self, prompts: list[str]) -> TensorDict:
        embeds, pooled, _ = self.pipeline.encode_prompt(prompts, device=self.device)
        return TensorDict({"prompt_embeds": embeds, "pooled_embeds": pooled}, [len(prompts)])

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        count, channels, height, width = x_t.shape
        text = c["prompt_embeds"]
        packed = self.transformer(
            hidden_states=self.pipeline._pack_latents(x_t, count, channels, height, width),
            timestep=t.to(x_t.dtype) / 1000,
            guidance=self.guidance_in(c),
            pooled_projections=c["pooled_embeds"],
            encoder_hidden_states=text,
            txt_ids=x_t.new_zeros(text.shape[1], 3),
            img_ids=self.pipeline._prepare_latent_image_ids(
                count, height // 2, width // 2, x_t.device, x_t.dtype
            ),
        ).sample
        return self.pipeline._unpack_latents(packed, height, width, 1)
