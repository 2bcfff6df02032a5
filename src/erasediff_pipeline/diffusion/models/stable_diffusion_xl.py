"""Stable Diffusion XL: two text encoders, a pooled embedding, and the size of the image."""

from typing import ClassVar

import torch
from tensordict import TensorDict
from torch import Tensor

from erasediff_pipeline.diffusion.models.family import Subsets
from erasediff_pipeline.diffusion.models.prompted import Contexts, Prompted
from erasediff_pipeline.diffusion.models.stable_diffusion import SUBSETS, text_tokens


class StableDiffusionXL(Prompted):
    """The parts of a ``StableDiffusionXLPipeline``; images are of the model's own size, not cropped."""

    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder", "text_encoder_2")
    contexts: ClassVar[Contexts] = {"tokenizer": None, "tokenizer_2": None}
    subsets: ClassVar[Subsets] = SUBSETS

    def embed_prompts(self, prompts: list[str]) -> TensorDict:
        embeds, _, pooled, _ = self.pipeline.encode_prompt(
            prompts, device=self.device, do_classifier_free_guidance=False
        )
        return TensorDict({"prompt_embeds": embeds, "pooled_embeds": pooled}, [len(prompts)])

    def embed_nothing(self) -> TensorDict:
        """Zeros, or the empty prompt, as the pipeline's configuration says."""
        _, embeds, _, pooled = self.pipeline.encode_prompt("", device=self.device)
        return TensorDict({"prompt_embeds": embeds, "pooled_embeds": pooled}, [1])

    attended_tokens = staticmethod(text_tokens)

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        size = self.image_shape[1:]
        ids = torch.tensor([*size, 0, 0, *size], dtype=x_t.dtype, device=x_t.device).expand(len(x_t), -1)
        added = {"text_embeds": c["pooled_embeds"], "time_ids": ids}
        text = c["prompt_embeds"]
        return self.unet(x_t, t, encoder_hidden_states=text, added_cond_kwargs=added).sample
