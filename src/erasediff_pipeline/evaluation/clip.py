"""CLIP score: how well an image fits its prompt (arXiv 2104.08718).

Uses transformers: torchmetrics' ``clip_score`` takes no directory and does not work with transformers 5.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import CLIPModel, CLIPProcessor

from erasediff_pipeline.errors import MissingInput


def load_clip(source: str) -> Callable[[Tensor, list[str]], Tensor]:
    """Load a CLIP model from a directory or the hub.

    Returns:
        Images ``[N, 3, H, W]`` uint8 and N prompts → ``[N]`` float32, 100·max(0, cos) of their embeddings;
        a prompt longer than CLIP's context is cut.

    Raises:
        MissingInput: ``source`` has no CLIP model with safetensors weights.
    """
    try:
        model = CLIPModel.from_pretrained(source, use_safetensors=True).eval()
        processor = CLIPProcessor.from_pretrained(source)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise MissingInput(f"prompts.clip: {source!r} has no CLIP model in safetensors: {reason}") from None

    @torch.no_grad()
    def score(images: Tensor, prompts: list[str]) -> Tensor:
        inputs = processor(
            text=prompts,
            images=list(images),
            padding=True,
            truncation=True,
            max_length=model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        both = model(**inputs)  # embeddings of length one
        return 100 * (both.image_embeds * both.text_embeds).sum(dim=1).clamp_min(0)

    return score
