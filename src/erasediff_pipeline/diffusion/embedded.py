"""A model that is asked under one embedding, whatever the label: where an inversion searches."""

from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from erasediff_pipeline.diffusion.model import DiffusionModel


class Embedded(DiffusionModel):
    """Another model under an embedding that may move, while the weights of that model stay.

    Args:
        model: The model, which is shared, not copied.
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
        """The embedding, N times, whatever the labels."""
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
        """The embedding alone, whatever the subset."""
        return {"embedding": self.embedding}

    def to_pipeline(self) -> DiffusionPipeline:
        return self.model.to_pipeline()


@torch.no_grad()
def embeddings_apart(model: DiffusionModel, retained: Tensor, forgotten: Tensor) -> Tensor:
    """Embeddings that show how far apart conditions lie, ``[N, …]`` float: those of the retained ones.

    Args:
        model: Whose they are.
        retained: ``[N]`` int64, numbers of conditions.
        forgotten: ``[M]`` int64; beside a single retained condition, which lies at no distance from itself,
            theirs are taken as well.
    """
    numbers = retained if len(retained) > 1 else torch.cat([retained, forgotten])
    return model.embed_condition(model.condition(numbers))


def null_of(model: DiffusionModel) -> Embedded:
    """The model as it draws when it is asked for nothing."""
    with torch.no_grad():
        return Embedded(model, model.embed_condition(model.null_condition(1))[0])
