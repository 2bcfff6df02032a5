"""The model interface that methods, samplers and audits use."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import DiffusionPipeline, ModelMixin
from tensordict import TensorDict
from torch import Tensor, nn

from erasediff_pipeline.diffusion.process import Process
from erasediff_pipeline.errors import InvalidParameter, UserError
from erasediff_pipeline.hashing import hash_weights


class Evaluations:
    """Number of images that went through a model and its copies: a deep copy shares the counter."""

    def __init__(self) -> None:
        self.images = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "Evaluations":
        return self


class Trainable(nn.Module, ABC):
    """Interface of a model for the training loop.

    Attributes:
        counter: Counts the images that went through the model and its copies (a teacher, a proxy).
        loss_scale: Factor of a loss before its gradients are taken; 1 except in fp16, see ``LossScale``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counter = Evaluations()
        self.loss_scale = 1.0

    @property
    def evaluations(self) -> int:
        """Images that went forward through the model and its copies, a cost independent of the machine."""
        return self.counter.images

    def count(self, images: int) -> None:
        """Add to ``evaluations``."""
        self.counter.images += images

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` uint8 → x0 ``[N, …]`` float, in the space that the model works in."""

    @abstractmethod
    def trainable(self, subset: str) -> dict[str, nn.Parameter]:
        """The parameters of a named subset.

        Raises:
            InvalidParameter: The subset is unknown, or this model has no such parameters.
        """

    @property
    def configs(self) -> list[dict[str, Any]]:
        """The configurations of diffusers and transformers, which decide how the weights are used."""
        return [_plain_config(part.config) for part in self.modules() if hasattr(part, "config")]

    def fingerprint(self) -> str:
        """SHA-256 of the weights and the configurations: architecture, dropout, noise schedule."""
        text = json.dumps(self.configs, sort_keys=True, default=str) + hash_weights(self)
        return hashlib.sha256(text.encode()).hexdigest()

    def recompute_activations(self, wanted: bool) -> None:
        """Whether to compute activations again in the backward pass instead of keeping them."""
        for part in self.children():
            if isinstance(part, ModelMixin) and part._supports_gradient_checkpointing:
                if wanted:
                    part.enable_gradient_checkpointing()
                else:
                    part.disable_gradient_checkpointing()

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device


def _plain_config(config: Any) -> dict[str, Any]:
    """A configuration of diffusers or transformers, without their private entries."""
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return {key: value for key, value in values.items() if not key.startswith("_")}


class DiffusionModel(Trainable):
    """A denoiser under a condition, and the forward process that it was trained with.

    A condition is a ``TensorDict`` with the batch first: class labels, prompt embeddings, masks, or nothing
    at all. ``c[rows]``, ``split``, ``expand``, ``cat`` and ``where`` are those of a tensor.
    """

    denoiser_name = "unet"
    """Attribute of the denoiser, here and in the pipeline."""

    takes_vmap = True
    """Whether ``torch.func.vmap`` works on ``denoise``."""

    process: Process

    @property
    def denoiser(self) -> ModelMixin:
        """The network that is trained."""
        return getattr(self, self.denoiser_name)

    @abstractmethod
    def decode(self, x0: Tensor) -> Tensor:
        """x0 ``[N, …]`` float → images ``[N, C, H, W]`` uint8."""

    @abstractmethod
    def condition(self, labels: Tensor) -> TensorDict:
        """Numbers of conditions (classes or prompts) ``[N]`` int64 → N conditions."""

    @abstractmethod
    def null_condition(self, n: int) -> TensorDict:
        """The null condition, n times."""

    def denoise(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        """The prediction, see ``Process``; counted in ``evaluations``.

        Args:
            x_t: Noised batch, ``[N, …]`` float.
            t: Times, ``[N]``.
            c: N conditions.

        Returns:
            Shaped like ``x_t``.
        """
        self.count(len(x_t))
        return self.predict(x_t, t, c)

    @abstractmethod
    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        """``denoise``, not counted."""

    def guided(self, x_t: Tensor, t: Tensor, c: TensorDict, guidance_scale: float) -> Tensor:
        """(1 + w)·ε(x_t, c) − w·ε(x_t, ∅), both in one call (arXiv 2207.12598, equation 6).

        Args:
            x_t: ``[N, …]`` float.
            t: Times, ``[N]``.
            c: N conditions.
            guidance_scale: w; 0 needs no prediction under the null condition ∅.

        Returns:
            Shaped like ``x_t``.
        """
        c, guidance_scale = self.embed_guidance(c, guidance_scale)
        if guidance_scale == 0:
            return self.denoise(x_t, t, c)
        conditions = TensorDict.cat([c, self.null_condition(len(c))])
        both = self.denoise(torch.cat([x_t, x_t]), torch.cat([t, t]), conditions)
        conditional, unconditional = both.chunk(2)
        return (1 + guidance_scale) * conditional - guidance_scale * unconditional

    def embed_guidance(self, c: TensorDict, guidance_scale: float) -> tuple[TensorDict, float]:
        """Conditions that carry the guidance scale, if the denoiser takes it, and what is left of it."""
        return c, guidance_scale

    def schedule_options(self, scheduler: Any, steps: int) -> dict[str, Any]:
        """What ``set_timesteps`` of a sampler takes besides the number of steps."""
        return {}

    def embed_condition(self, c: TensorDict) -> TensorDict:
        """N conditions → their embeddings, the first step of the denoiser; floats are what may be changed."""
        return c

    def denoise_embedded(self, x_t: Tensor, t: Tensor, e: TensorDict) -> Tensor:
        """As ``denoise``, under N embeddings, which need not belong to any condition."""
        return self.denoise(x_t, t, e)

    def forward(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        """``denoise``: ``torch.func`` calls this with other weights."""
        return self.denoise(x_t, t, c)

    @abstractmethod
    def to_pipeline(self) -> DiffusionPipeline:
        """The diffusers pipeline to save; its own ``from_pretrained`` loads it again."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one x0."""
        side = self.denoiser.config.sample_size
        height, width = (side, side) if isinstance(side, int) else side
        return (self.denoiser.config.in_channels, height, width)

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image."""

    def reinitialise(self, seed: int) -> None:
        """Replace every weight that depends on the data by a random one."""
        draw_weights(self.denoiser, seed)

    @property
    def configs(self) -> list[dict[str, Any]]:
        return [_plain_config(self.process.scheduler.config), *super().configs]


def to_pixels(x0: Tensor) -> Tensor:
    """Float in [−1, 1] → uint8, of any shape; clipped and rounded.

    Raises:
        UserError: A number is not finite: it would become a black pixel.
    """
    if not torch.isfinite(x0).all():
        raise UserError(
            "the model draws numbers that are not finite: restore its weights, or train it again with a "
            "lower learning_rate"
        )
    return ((x0.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def draw_weights(network: nn.Module, seed: int) -> None:
    """Replace all weights by torch's initial weights; the global generator does not change.

    Args:
        network: The network to change.
        seed: Seed of the weights.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in network.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()


def select_parameters(
    network: nn.Module, subsets: Mapping[str, Callable[[str], bool]], subset: str
) -> dict[str, nn.Parameter]:
    """The parameters that belong to ``subset``.

    Args:
        network: The network.
        subsets: Name of a subset → whether a parameter, by its name, belongs to it.
        subset: A key of ``subsets``.

    Raises:
        InvalidParameter: The subset is unknown, or no parameter belongs to it.
    """
    if subset not in subsets:
        raise InvalidParameter(f"subset {subset!r} is unknown: choose one of {', '.join(subsets)}")
    chosen = {name: parameter for name, parameter in network.named_parameters() if subsets[subset](name)}
    if not chosen:
        raise InvalidParameter(f"subset {subset!r} selects no parameter of this model: choose another subset")
    return chosen
