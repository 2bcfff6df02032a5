"""A model under one trainable embedding, for inversion."""

from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from erasediff_pipeline.diffusion.model import DiffusionModel


class Embedded(DiffusionModel):
    """A model whose only condition is an embedding; that alone is trainable.

    Args:
        model: The model; it is shared, not copied, and its weights do not change.
        start: The embedding to start from, ``[…]`` float, one row of ``model.embed_condition``.
    """

    def __init__(self, model: DiffusionModel, start: Tensor):
        super().__init__()
        self.model, self.counter = model, model.counter
        self.embedding = nn.Parameter(start.detach().clone())

    @property
    def unet(self) -> Any:  # type: ignore[override]
        return self.model.unet

    @property
    def scheduler(self) -> Any:  # type: ignore[override]
        return self.model.scheduler

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.model.sample_shape

    @property
    def image_shape(self) -> tuple[int, ...]:
        return self.model.image_shape

    def encode(self, images: Tensor) -> Tensor:
        return self.model.encode(images)

    def decode(self, x0: Tensor) -> Tensor:
        return self.model.decode(x0)

    def condition(self, labels: Tensor) -> Tensor:
        """The embedding, N times; ``labels`` only give N."""
        return self.embedding.expand(len(labels), *self.embedding.shape)

    def null_condition(self, n: int) -> Tensor:
        return self.embed_condition(self.model.null_condition(n))

    def embed_condition(self, c: Tensor) -> Tensor:
        return self.model.embed_condition(c)

    def denoise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        return self.model.denoise_embedded(x_t, t, c)

    def denoise_embedded(self, x_t: Tensor, t: Tensor, e: Tensor) -> Tensor:
        return self.denoise(x_t, t, e)

    def trainable(self, subset: str) -> dict[str, nn.Parameter]:
        """The embedding alone; ``subset`` is not used."""
        return {"embedding": self.embedding}

    def to_pipeline(self) -> DiffusionPipeline:
        return self.model.to_pipeline()


@torch.no_grad()
def spread_embeddings(model: DiffusionModel, retained: Tensor, forgotten: Tensor) -> Tensor:
    """Embeddings whose spread shows how far apart conditions are: those of the retained ones.

    Args:
        model: The model.
        retained: Numbers of the retained conditions, ``[N]`` int64.
        forgotten: Numbers of the forgotten conditions, ``[M]`` int64; their embeddings are added if N is 1,
            since one embedding has no spread.

    Returns:
        ``[N, …]`` float, or ``[1 + M, …]``.
    """
    numbers = retained if len(retained) > 1 else torch.cat([retained, forgotten])
    return model.embed_condition(model.condition(numbers))


def without_condition(model: DiffusionModel) -> Embedded:
    """``model`` under its null condition, whatever the label."""
    with torch.no_grad():
        return Embedded(model, model.embed_condition(model.null_condition(1))[0])
