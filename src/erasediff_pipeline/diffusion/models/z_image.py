"""Z-Image: a rectified-flow transformer on latents and the tokens of a language model."""

from typing import ClassVar

import torch
from tensordict import TensorDict
from torch import Tensor
from torch.nn.functional import pad

from erasediff_pipeline.diffusion.models.family import Subsets
from erasediff_pipeline.diffusion.models.flow import FlowTransformer
from erasediff_pipeline.diffusion.models.prompted import Contexts

TOKENS = 512
"""What the pipeline cuts prompts to, the form of its chat included."""


class ZImage(FlowTransformer):
    """The parts of a ``ZImagePipeline``, whose transformer takes lists and predicts −v at time 1 − σ."""

    takes_vmap = False  # its lists have tensors of different lengths
    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder")
    contexts: ClassVar[Contexts] = {"tokenizer": TOKENS}
    subsets: ClassVar[Subsets] = {
        "full": lambda name: True,
        "attn": lambda name: ".attention." in name,
        "context": lambda name: name.startswith(("cap_embedder.", "context_refiner.")),
        "notime": lambda name: not name.startswith(("t_embedder.", "all_final_layer.")),
    }

    def embed_prompts(self, prompts: list[str]) -> TensorDict:
        """Embeddings of as many tokens as a prompt has, padded, and their number."""
        embeds, _ = self.pipeline.encode_prompt(
            list(prompts), device=self.device, do_classifier_free_guidance=False
        )
        padded = torch.stack([pad(e, (0, 0, 0, TOKENS - len(e))) for e in embeds])
        tokens = torch.tensor([len(e) for e in embeds], device=self.device)
        return TensorDict({"prompt_embeds": padded, "tokens": tokens}, [len(prompts)])

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        text = [e[:n] for e, n in zip(c["prompt_embeds"], c["tokens"].tolist(), strict=True)]
        images = list(x_t.unsqueeze(2).unbind(0))  # one frame each
        predicted = self.transformer(images, 1 - t.to(x_t.dtype) / 1000, text, return_dict=False)[0]
        return -torch.stack(predicted).squeeze(2)
