"""What the families share: parts of a pipeline, class labels, an autoencoder's latents."""

import copy
import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import torch
from diffusers import DiffusionPipeline
from tensordict import TensorDict
from torch import Tensor, nn
from torch.func import functional_call

from erasediff_pipeline.diffusion.model import DiffusionModel, select_parameters, to_pixels
from erasediff_pipeline.diffusion.process import Process, VariancePreserving

Subsets = Mapping[str, Callable[[str], bool]]
"""Name of a subset → whether a parameter, by its name, belongs to it."""

PIXELS_AT_ONCE = 2**18
"""Limit of a pass through the autoencoder, which needs far more memory than the denoiser: 512 × 512."""


class Family(DiffusionModel):
    """The parts of a pipeline; only the denoiser is ever trained or copied.

    Args:
        pipeline: A loaded pipeline; the model shares its weights.
    """

    frozen: ClassVar[tuple[str, ...]] = ()
    """Other parts of the pipeline that decide its images; a part may be None."""

    subsets: ClassVar[Subsets] = {"full": lambda name: True}

    unet: Any
    transformer: Any

    def __init__(self, pipeline: DiffusionPipeline):
        super().__init__()
        self.pipeline = pipeline
        self.process = self.process_of(pipeline.scheduler)
        for name in (self.denoiser_name, *self.frozen):
            setattr(self, name, getattr(pipeline, name))

    @staticmethod
    @abstractmethod
    def process_of(scheduler: Any) -> Process:
        """The forward process of a pipeline's scheduler, drawn from as this family is trained."""

    @property
    def copied(self) -> tuple[str, ...]:
        """Parts that are trained: a copy of the model has its own."""
        return (self.denoiser_name,)

    def train(self, mode: bool = True) -> Self:
        """The frozen parts stay in evaluation mode: T5 has dropout, which draws random numbers."""
        super().train(mode)
        for name in self.frozen:
            if name not in self.copied and getattr(self, name) is not None:
                getattr(self, name).eval()
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy with its own trained parts; all others are shared, which saves memory."""
        shared = [self.pipeline, *(getattr(self, name) for name in self.frozen if name not in self.copied)]
        memo |= {id(part): part for part in shared}
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__ = copy.deepcopy(self.__dict__, memo)
        return copied

    def to_pipeline(self) -> DiffusionPipeline:
        """The pipeline that the model was made of, with the trained parts in place of its own."""
        pipeline = copy.copy(self.pipeline)
        pipeline.register_modules(**{name: getattr(self, name) for name in self.copied})
        return pipeline

    def trainable(self, subset: str) -> dict[str, nn.Parameter]:
        """See ``Trainable.trainable``; a key of ``subsets``."""
        return select_parameters(self.denoiser, self.subsets, subset)


class Pixels(Family):
    """A model whose x0 are pixels in [−1, 1]."""

    @staticmethod
    def process_of(scheduler: Any) -> Process:
        return VariancePreserving(scheduler)

    @property
    def image_shape(self) -> tuple[int, ...]:
        return self.sample_shape

    def encode(self, images: Tensor) -> Tensor:
        return images.to(self.device, non_blocking=True).float() / 127.5 - 1

    def decode(self, x0: Tensor) -> Tensor:
        return to_pixels(x0)


class Latents(Family):
    """A model whose x0 are an autoencoder's latents, scaled (and shifted, if its configuration says so).

    Each image is encoded only once; it is recognised by a hash. It is encoded alone: beside others its
    latents would differ in the last bits, and a training that was resumed from one that was not.
    """

    frozen: ClassVar[tuple[str, ...]] = ("vae",)
    vae: Any

    @staticmethod
    def process_of(scheduler: Any) -> Process:
        return VariancePreserving.of_latents(scheduler)

    def __init__(self, pipeline: DiffusionPipeline):
        super().__init__(pipeline)
        self.latents: dict[bytes, Tensor] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self.latents)] = self.latents
        return super().__deepcopy__(memo)

    @property
    def image_shape(self) -> tuple[int, ...]:
        _, height, width = self.sample_shape
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return (self.vae.config.out_channels, height * factor, width * factor)

    @property
    def images_at_once(self) -> int:
        """Number of images to decode together."""
        _, height, width = self.image_shape
        return min(16, max(1, PIXELS_AT_ONCE // (height * width)))

    def scale(self, latents: Tensor) -> Tensor:
        """Latents of the autoencoder → x0."""
        mean, std = self._statistics()
        return (latents - mean) * self.vae.config.scaling_factor / std

    def unscale(self, x0: Tensor) -> Tensor:
        """The inverse of ``scale``."""
        mean, std = self._statistics()
        return x0 * std / self.vae.config.scaling_factor + mean

    def _statistics(self) -> tuple[Tensor | float, Tensor | float]:
        """Shift and spread of the autoencoder's latents, numbers or ``[1, C, 1, 1]``."""
        config = self.vae.config
        if config.get("latents_mean") is None or config.get("latents_std") is None:
            return config.shift_factor or 0, 1
        values = (torch.tensor(config[name], device=self.device) for name in ("latents_mean", "latents_std"))
        mean, std = (value.view(1, -1, 1, 1) for value in values)
        return mean, std

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` uint8 → latents ``[N, …]`` float, scaled.

        They are the mean of the autoencoder's distribution; its spread is far below the noise of t = 0.
        """
        keys = [hashlib.sha256(image.numpy().tobytes()).digest() for image in images]
        for key, image in dict(zip(keys, images, strict=True)).items():
            if key not in self.latents:
                pixels = image[None].to(self.device, torch.float32) / 127.5 - 1
                with torch.autocast(self.device.type, enabled=False):  # kept and noised in full precision
                    self.latents[key] = self.scale(self.vae.encode(pixels).latent_dist.mode())[0].cpu()
        return torch.stack([self.latents[key] for key in keys]).to(self.device)

    @torch.no_grad()
    def decode(self, x0: Tensor) -> Tensor:
        parts = self.unscale(x0).split(self.images_at_once)
        return to_pixels(torch.cat([self.vae.decode(part).sample for part in parts]))


class Labelled(Family):
    """A model whose conditions are classes; the one after the last is the null class."""

    tables: ClassVar[str]
    """How the names of the label embeddings end: one table, or one in each block."""

    classes: int
    """Number of classes, without the null class."""

    def condition(self, labels: Tensor) -> TensorDict:
        return TensorDict({"label": labels.to(self.device, torch.int64)}, [len(labels)])

    def null_condition(self, n: int) -> TensorDict:
        return self.condition(torch.full((n,), self.classes))

    def embed_condition(self, c: TensorDict) -> TensorDict:
        rows = {f"table {i}": table[c["label"]] for i, table in enumerate(self._tables().values())}
        return TensorDict(rows, c.batch_size)

    def denoise_embedded(self, x_t: Tensor, t: Tensor, e: TensorDict) -> Tensor:
        tables = {name: e[f"table {i}"] for i, name in enumerate(self._tables())}
        rows = torch.arange(len(e), device=x_t.device)  # image i takes row i
        return functional_call(self, tables, (x_t, t, TensorDict({"label": rows}, [len(rows)])))

    def _tables(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.named_parameters() if name.endswith(self.tables)}
