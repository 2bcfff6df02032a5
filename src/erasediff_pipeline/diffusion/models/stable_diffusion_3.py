"""Stable Diffusion 3: a rectified-flow transformer on latents, with up to three text encoders."""

from typing import Any, ClassVar

from tensordict import TensorDict
from torch import Tensor

from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.models.flow import FlowTransformer
from erasediff_pipeline.diffusion.models.prompted import Contexts
from erasediff_pipeline.diffusion.process import RectifiedFlow

TOKENS = 256
"""What the pipeline cuts T5's prompts to; CLIP's are cut earlier."""


class StableDiffusion3(FlowTransformer):
    """The parts of a ``StableDiffusion3Pipeline``; T5 may be left out."""

    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder", "text_encoder_2", "text_encoder_3")
    contexts: ClassVar[Contexts] = {"tokenizer": None, "tokenizer_2": None, "tokenizer_3": TOKENS}
    sigmas_given: ClassVar[bool] = False
    sample_shape = DiffusionModel.sample_shape

    @staticmethod
    def process_of(scheduler: Any) -> RectifiedFlow:
        # As diffusers' train_dreambooth_lora_sd3.py by default.
        return RectifiedFlow(scheduler, "logit_normal", preconditioned=True)

    @property
    def tokens(self) -> int:
        _, height, width = self.sample_shape
        return (height * width) // self.transformer.config.patch_size**2

    def embed_prompts(self, prompts: list[str]) -> TensorDict:
        embeds, _, pooled, _ = self.pipeline.encode_prompt(
            prompts, None, None, device=self.device, do_classifier_free_guidance=False
        )
        return TensorDict({"prompt_embeds": embeds, "pooled_embeds": pooled}, [len(prompts)])

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        return self.transformer(
            hidden_states=x_t,
            timestep=t,
            encoder_hidden_states=c["prompt_embeds"],
            pooled_projections=c["pooled_embeds"],
        ).sample
