"""Stable Diffusion 3: a rectified-flow transformer on latents, with up to three text encoders."""

from typing import Any, ClassVar

from tensordict import TensorDict
from torch import Tensor

from erasediff_pipeline.diffusion.models.family import Subsets
from erasediff_pipeline.diffusion.models.prompted import Contexts, Prompted
from erasediff_pipeline.diffusion.process import RectifiedFlow

TOKENS = 256
"""What the pipeline cuts T5's prompts to; CLIP's are cut earlier."""


class StableDiffusion3(Prompted):
    """The parts of a ``StableDiffusion3Pipeline``; T5 may be left out."""

    denoiser_name = "transformer"
    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder", "text_encoder_2", "text_encoder_3")
    contexts: ClassVar[Contexts] = {"tokenizer": None, "tokenizer_2": None, "tokenizer_3": TOKENS}
    subsets: ClassVar[Subsets] = {
        "full": lambda name: True,
        "attn": lambda name: ".attn." in name or ".attn2." in name,
        "context": lambda name: ".attn.add_" in name or ".attn.to_add_out." in name or "context" in name,
        "notime": lambda name: not name.startswith(("time_text_embed.", "norm_out.", "proj_out.")),
    }

    @staticmethod
    def process_of(scheduler: Any) -> RectifiedFlow:
        # As diffusers' train_dreambooth_lora_sd3.py by default.
        return RectifiedFlow(scheduler, "logit_normal", preconditioned=True)

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
