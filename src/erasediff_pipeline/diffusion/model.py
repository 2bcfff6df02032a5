"""The model interface that methods, samplers and audits use."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, ModelMixin
from torch import Tensor, nn

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
    """A denoiser under a condition, and the noise schedule that it was trained with."""

    unet: ModelMixin
    scheduler: DDPMScheduler

    @abstractmethod
    def decode(self, x0: Tensor) -> Tensor:
        """x0 ``[N, …]`` float → images ``[N, C, H, W]`` uint8."""

    @abstractmethod
    def condition(self, labels: Tensor) -> Tensor:
        """Numbers of conditions (classes or prompts) ``[N]`` int64 → N conditions."""

    @abstractmethod
    def null_condition(self, n: int) -> Tensor:
        """The null condition, n times."""

    @abstractmethod
    def denoise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """The prediction, ε, v or x0 as the scheduler says; counted in ``evaluations``.

        Args:
            x_t: Noised batch, ``[N, …]`` float.
            t: Timesteps, ``[N]`` int64 in [0, T).
            c: N conditions.

        Returns:
            Shaped like ``x_t``.
        """

    @abstractmethod
    def embed_condition(self, c: Tensor) -> Tensor:
        """N conditions → their embeddings, ``[N, …]`` float, the first step of the denoiser."""

    @abstractmethod
    def denoise_embedded(self, x_t: Tensor, t: Tensor, e: Tensor) -> Tensor:
        """As ``denoise``, under N embeddings, which need not belong to any condition."""

    def forward(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """``denoise``: ``torch.func`` calls this with other weights."""
        return self.denoise(x_t, t, c)

    @abstractmethod
    def to_pipeline(self) -> DiffusionPipeline:
        """The diffusers pipeline to save; its own ``from_pretrained`` loads it again."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one x0."""
        side = self.unet.config.sample_size
        height, width = (side, side) if isinstance(side, int) else side
        return (self.unet.config.in_channels, height, width)

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image."""

    def reinitialise(self, seed: int) -> None:
        """Replace every weight that depends on the data by a random one."""
        draw_weights(self, seed)

    @property
    def configs(self) -> list[dict[str, Any]]:
        return [_plain_config(self.scheduler.config), *super().configs]

    @property
    def timesteps(self) -> int:
        """T, the length of the forward process."""
        return int(self.scheduler.config.num_train_timesteps)

    def noise(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Compute x_t = √ᾱ_t·x0 + √(1 − ᾱ_t)·ε (arXiv 2006.11239, equation 4).

        Args:
            x0: ``[N, …]`` float.
            t: Timesteps, ``[N]`` int64 in [0, T).
            eps: ε, standard normal noise, shaped like ``x0``.

        Returns:
            Shaped like ``x0``.
        """
        return self.scheduler.add_noise(x0, eps, t)

    def target(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Compute the target of the prediction for ``noise(x0, t, eps)``.

        It is ε, x0, or v = √ᾱ_t·ε − √(1 − ᾱ_t)·x0 (arXiv 2202.00512, section 4), as the scheduler says.

        Args:
            x0: ``[N, …]`` float.
            t: Timesteps, ``[N]`` int64 in [0, T).
            eps: ε, shaped like ``x0``.

        Returns:
            Shaped like ``x0``.
        """
        if self.scheduler.config.prediction_type == "v_prediction":
            return self.scheduler.get_velocity(x0, eps, t)
        return x0 if self.scheduler.config.prediction_type == "sample" else eps

    def predict_noise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """Compute the ε that the prediction stands for; arguments as for ``denoise``.

        ε = √(1 − ᾱ_t)·x_t + √ᾱ_t·v, or (x_t − √ᾱ_t·x0) / √(1 − ᾱ_t), by what the model predicts.

        Returns:
            Float32, shaped like ``x_t``.
        """
        predicted = self.denoise(x_t, t, c).float()
        if self.scheduler.config.prediction_type == "v_prediction":
            return self.scheduler.get_velocity(-x_t, predicted, t)
        if self.scheduler.config.prediction_type == "sample":
            none = torch.zeros_like(x_t)
            return (x_t - self.noise(predicted, t, none)) / self.noise(none, t, torch.ones_like(x_t))
        return predicted


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
