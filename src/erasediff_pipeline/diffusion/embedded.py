"""A model under one trainable embedding, for inversion."""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DiffusionPipeline
from tensordict import TensorDict
from tensordict.nn import TensorDictParams
from torch import Tensor, nn

from erasediff_pipeline.diffusion.model import DiffusionModel


class Embedded(DiffusionModel):
    """A model whose only condition is an embedding; that alone is trainable.

    Args:
        model: The model; it is shared, not copied, and its weights do not change.
        start: The embedding to start from, one row of ``model.embed_condition``; its floats are trained.
    """

    def __init__(self, model: DiffusionModel, start: TensorDict):
        super().__init__()
        self.model, self.counter, self.process = model, model.counter, model.process
        self.embedding = TensorDictParams(start.detach().clone())

    @property
    def denoiser(self) -> Any:
        return self.model.denoiser

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

    def condition(self, labels: Tensor) -> TensorDict:
        """The embedding, N times; ``labels`` only give N."""
        return self.embedding.expand(len(labels))

    def null_condition(self, n: int) -> TensorDict:
        return self.embed_condition(self.model.null_condition(n))

    def embed_condition(self, c: TensorDict) -> TensorDict:
        return self.model.embed_condition(c)

    def denoise(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        return self.model.denoise_embedded(x_t, t, c)

    predict = denoise

    def denoise_embedded(self, x_t: Tensor, t: Tensor, e: TensorDict) -> Tensor:
        return self.model.denoise_embedded(x_t, t, e)

    def embed_guidance(self, c: TensorDict, guidance_scale: float) -> tuple[TensorDict, float]:
        return self.model.embed_guidance(c, guidance_scale)

    def schedule_options(self, scheduler: Any, steps: int) -> dict[str, Any]:
        return self.model.schedule_options(scheduler, steps)

    def trainable(self, subset: str) -> dict[str, nn.Parameter]:
        """The embedding alone; ``subset`` is not used."""
        return dict(self.embedding.named_parameters())

    def to_pipeline(self) -> DiffusionPipeline:
        return self.model.to_pipeline()


def map_floats(change: Callable[..., Tensor], e: TensorDict, *others: TensorDict) -> TensorDict:
    """Change the floats of embeddings, each with those of ``others``; masks and counts stay as they are."""
    names = [name for name, value in e.items() if value.is_floating_point()]
    return e.copy().update({name: change(*(given[name] for given in (e, *others))) for name in names})


@torch.no_grad()
def spread_embeddings(model: DiffusionModel, retained: Tensor, forgotten: Tensor) -> TensorDict:
    """Embeddings whose spread shows how far apart conditions are: those of the retained ones.

    Args:
        model: The model.
        retained: Numbers of the retained conditions, ``[N]`` int64.
        forgotten: Numbers of the forgotten conditions, ``[M]`` int64; their embeddings are added if N is 1,
            since one embedding has no spread.

    Returns:
        N embeddings, or 1 + M.
    """
    numbers = retained if len(retained) > 1 else torch.cat([retained, forgotten])
    return model.embed_condition(model.condition(numbers))


def without_condition(model: DiffusionModel) -> Embedded:
    """``model`` under its null condition, whatever the label."""
    with torch.no_grad():
        return Embedded(model, model.embed_condition(model.null_condition(1))[0])
