"""PixArt-Σ: a transformer on latents with cross-attention to T5's embeddings."""

from typing import ClassVar

from diffusers.utils import is_bs4_available, is_ftfy_available
from tensordict import TensorDict
from torch import Tensor

from erasediff_pipeline.diffusion.models.family import Subsets
from erasediff_pipeline.diffusion.models.prompted import Contexts, Prompted

TOKENS = 300
"""What the pipeline cuts prompts to."""


class PixArtSigma(Prompted):
    """The parts of a ``PixArtSigmaPipeline``."""

    denoiser_name = "transformer"
    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder")
    contexts: ClassVar[Contexts] = {"tokenizer": TOKENS}
    subsets: ClassVar[Subsets] = {
        "full": lambda name: True,
        "xattn": lambda name: ".attn2." in name,
        "selfattn": lambda name: ".attn1." in name,
        "noxattn": lambda name: ".attn2." not in name and not name.startswith("adaln_single."),
        "notime": lambda name: not name.startswith("adaln_single."),
    }

    def embed_prompts(self, prompts: list[str]) -> TensorDict:
        embeds, mask, _, _ = self.pipeline.encode_prompt(
            prompts,
            do_classifier_free_guidance=False,
            device=self.device,
            clean_caption=is_bs4_available() and is_ftfy_available(),  # as the pipeline itself
            max_sequence_length=TOKENS,
        )
        return TensorDict({"prompt_embeds": embeds, "mask": mask}, [len(prompts)])

    def attended_tokens(self, c: TensorDict) -> tuple[Tensor, Tensor]:
        """As in ``stable_diffusion.text_tokens``, after the projection of captions."""
        return self.transformer.caption_projection(c["prompt_embeds"]), c["mask"].bool()

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        """ε; the channels of a learned variance are left out, and have no gradient."""
        return self.transformer(
            x_t,
            encoder_hidden_states=c["prompt_embeds"],
            encoder_attention_mask=c["mask"],
            timestep=t,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        ).sample[:, : x_t.shape[1]]
