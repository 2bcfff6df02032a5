"""Stable Diffusion 1 and 2: a U-Net with cross-attention to CLIP's embeddings, on latents."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from diffusers import StableDiffusionPipeline
from tensordict import TensorDict
from torch import Tensor, nn

from erasediff_pipeline.diffusion.models.family import Subsets
from erasediff_pipeline.diffusion.models.prompted import Prompted


def _is_time_or_output(name: str) -> bool:
    """Whether a parameter belongs to the time embedding or to the output layer."""
    return name.startswith(("time_embedding.", "conv_norm_out.", "conv_out."))


SUBSETS: Subsets = {
    "full": lambda name: True,
    "xattn": lambda name: ".attn2." in name,
    "noxattn": lambda name: ".attn2." not in name and not _is_time_or_output(name),
    "selfattn": lambda name: ".attn1." in name,
    "notime": lambda name: not _is_time_or_output(name),
    "xlayer": lambda name: (
        ".attn2." in name and name.startswith(("up_blocks.2.attentions.0.", "up_blocks.2.attentions.2."))
    ),
    "selflayer": lambda name: (
        ".attn1." in name and name.startswith(("down_blocks.1.attentions.0.", "down_blocks.2.attentions.0."))
    ),
}
"""By the names in the code of arXiv 2303.07345. It numbers the blocks differently: ``output_blocks.6`` and
``.8`` are here ``up_blocks.2.attentions.0`` and ``.2``, ``input_blocks.4`` and ``.7`` are
``down_blocks.1.attentions.0`` and ``down_blocks.2.attentions.0``; ``time_embed`` is ``time_embedding``,
``out`` is ``conv_norm_out`` and ``conv_out``."""


def text_tokens(c: TensorDict) -> tuple[Tensor, Tensor]:
    """What keys and values of the cross-attention are computed from, ``[N, L, D]``, and which are used."""
    tokens = c["prompt_embeds"]
    return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)


class StableDiffusion(Prompted):
    """The parts of a ``StableDiffusionPipeline``.

    Args:
        pipeline: A loaded pipeline.
        prompts: The prompts, by number.
        truncate: See ``Prompted``.
        train_text_encoder: Train the text encoder together with the U-Net, for pretraining.
    """

    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder")
    subsets: ClassVar[Subsets] = SUBSETS

    def __init__(
        self,
        pipeline: StableDiffusionPipeline,
        prompts: Sequence[str] = (),
        truncate: bool = False,
        train_text_encoder: bool = False,
    ):
        super().__init__(pipeline, prompts, truncate)
        self.train_text_encoder = train_text_encoder

    @property
    def copied(self) -> tuple[str, ...]:
        return ("unet", "text_encoder") if self.train_text_encoder else ("unet",)

    def embed_prompts(self, prompts: list[str]) -> TensorDict:
        tokenizer = self.pipeline.tokenizer
        length = tokenizer.model_max_length
        ids = tokenizer(
            prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        return TensorDict({"prompt_embeds": self.text_encoder(ids.to(self.device))[0]}, [len(prompts)])

    def condition(self, labels: Tensor) -> TensorDict:
        if not self.train_text_encoder:
            return super().condition(labels)
        return self.embed_prompts([[*self.prompts, ""][number] for number in labels.tolist()])

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        return self.unet(x_t, t, encoder_hidden_states=c["prompt_embeds"]).sample

    attended_tokens = staticmethod(text_tokens)

    def trainable(self, subset: str) -> dict[str, nn.Parameter]:
        chosen = super().trainable(subset)
        if self.train_text_encoder:
            chosen |= {f"text_encoder.{name}": p for name, p in self.text_encoder.named_parameters()}
        return chosen
