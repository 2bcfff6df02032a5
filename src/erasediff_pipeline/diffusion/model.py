"""The model seam: what every method, sampler and audit may ask of a diffusion model."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import DDPMPipeline, DDPMScheduler, DiffusionPipeline, ModelMixin, UNet2DModel
from torch import Tensor, nn
from torch.func import functional_call

from erasediff_pipeline.config import DenoiserSettings
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.hashing import hash_weights


class Evaluations:
    """Number of images that went through a model and through its copies: a deep copy counts in here, too."""

    def __init__(self) -> None:
        self.images = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "Evaluations":
        return self


class Trainable(nn.Module, ABC):
    """What the training loop needs of a model.

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
        """Images that went forward through the model and its copies, a cost that no machine changes."""
        return self.counter.images

    def count(self, images: int) -> None:
        """Add to ``evaluations``."""
        self.counter.images += images

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` uint8 → x0, float, the space that the model works in."""

    @abstractmethod
    def trainable(self, subset: str) -> dict[str, nn.Parameter]:
        """The parameters of a named subset; one that selects nothing is an ``InvalidParameter``."""

    @property
    def configs(self) -> list[dict[str, Any]]:
        """What decides the use of the weights beside their values, as diffusers and transformers note it."""
        return [plain_config(part.config) for part in self.modules() if hasattr(part, "config")]

    def fingerprint(self) -> str:
        """SHA-256 of the weights and of all that decides their use: architecture, dropout, noise schedule."""
        text = json.dumps(self.configs, sort_keys=True, default=str) + hash_weights(self)
        return hashlib.sha256(text.encode()).hexdigest()

    def recompute_activations(self, wanted: bool) -> None:
        """Compute activations a second time in the backward pass, instead of keeping them."""
        for part in self.children():
            if isinstance(part, ModelMixin) and part._supports_gradient_checkpointing:
                if wanted:
                    part.enable_gradient_checkpointing()
                else:
                    part.disable_gradient_checkpointing()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


def plain_config(config: Any) -> dict[str, Any]:
    """A configuration of diffusers or transformers, without what they note for themselves."""
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return {key: value for key, value in values.items() if not key.startswith("_")}


class DiffusionModel(Trainable):
    """A denoiser with a condition, and the noise schedule that it was trained with."""

    unet: ModelMixin
    scheduler: DDPMScheduler

    @abstractmethod
    def decode(self, x0: Tensor) -> Tensor:
        """x0 → images ``[N, C, H, W]`` uint8."""

    @abstractmethod
    def condition(self, labels: Tensor) -> Tensor:
        """Numbers of conditions (classes, or prompts) ``[N]`` int64 → conditions, first axis N."""

    @abstractmethod
    def null_condition(self, n: int) -> Tensor:
        """The condition that says nothing, n times."""

    @abstractmethod
    def denoise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """Prediction (ε or v, as the scheduler says), shaped like ``x_t``; ``t`` is ``[N]`` int64."""

    @abstractmethod
    def embed_condition(self, c: Tensor) -> Tensor:
        """Conditions → what the denoiser makes of them before anything else, ``[N, …]`` float."""

    @abstractmethod
    def denoise_embedded(self, x_t: Tensor, t: Tensor, e: Tensor) -> Tensor:
        """As ``denoise``, under embeddings, which need not be those of any condition."""

    def forward(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """``denoise``, so that ``torch.func`` can call the model with other weights."""
        return self.denoise(x_t, t, c)

    @abstractmethod
    def to_pipeline(self) -> DiffusionPipeline:
        """The diffusers pipeline to save; its class's ``from_pretrained`` loads it anywhere."""

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

    def forget_everything(self, seed: int) -> None:
        """Put random weights in place of all that knows the data."""
        draw_weights(self, seed)

    @property
    def configs(self) -> list[dict[str, Any]]:
        return [plain_config(self.scheduler.config), *super().configs]

    @property
    def timesteps(self) -> int:
        """T, the length of the forward process."""
        return int(self.scheduler.config.num_train_timesteps)

    def noise(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t = √ᾱ_t·x0 + √(1 − ᾱ_t)·ε (arXiv 2006.11239, equation 4)."""
        return self.scheduler.add_noise(x0, eps, t)

    def target(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """What ``denoise`` should return for ``noise(x0, t, eps)``: ε, or v (arXiv 2202.00512)."""
        if self.scheduler.config.prediction_type == "v_prediction":
            return self.scheduler.get_velocity(x0, eps, t)
        return eps


def draw_weights(network: nn.Module, seed: int) -> None:
    """Put random weights in place of all of them, each layer's as torch initialises it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in network.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()


def select_parameters(
    network: nn.Module, subsets: Mapping[str, Callable[[str], bool]], subset: str
) -> dict[str, nn.Parameter]:
    """The parameters whose name fits the rule of ``subset``.

    Raises:
        InvalidParameter: There is no such rule, or no name fits it.
    """
    if subset not in subsets:
        raise InvalidParameter(f"subset {subset!r} is unknown: allowed are {', '.join(subsets)}")
    chosen = {name: parameter for name, parameter in network.named_parameters() if subsets[subset](name)}
    if not chosen:
        raise InvalidParameter(f"subset {subset!r} selects no parameter of this model")
    return chosen


SUBSETS = {
    "full": lambda name: True,
    "selfattn": lambda name: ".attentions." in name,
    "noselfattn": lambda name: ".attentions." not in name,
    "notime": lambda name: "time_emb" not in name,
    "class_embedding": lambda name: name.startswith("class_embedding."),
}


class ClassConditional(DiffusionModel):
    """A class-conditional ``UNet2DModel`` in pixel space; the last class embedding is the null class."""

    def __init__(self, unet: UNet2DModel, scheduler: DDPMScheduler):
        super().__init__()
        if not unet.config.num_class_embeds:
            raise MissingInput(
                "the model has no class embedding (num_class_embeds is "
                f"{unet.config.num_class_embeds}): a class-conditional UNet2DModel is needed"
            )
        self.unet = unet
        self.scheduler = scheduler

    @classmethod
    def from_pipeline(cls, pipeline: DDPMPipeline) -> "ClassConditional":
        """Wrap the parts of a loaded diffusers pipeline."""
        return cls(pipeline.unet, pipeline.scheduler)

    def to_pipeline(self) -> DDPMPipeline:
        """The diffusers pipeline to save: ``DDPMPipeline.from_pretrained`` loads it anywhere."""
        return DDPMPipeline(self.unet, self.scheduler)

    @property
    def classes(self) -> int:
        """Number of classes, the null class not counted."""
        return int(self.unet.config.num_class_embeds) - 1

    @property
    def image_shape(self) -> tuple[int, ...]:
        return self.sample_shape

    def encode(self, images: Tensor) -> Tensor:
        return images.to(self.device, non_blocking=True).float() / 127.5 - 1

    def decode(self, x0: Tensor) -> Tensor:
        return ((x0.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)

    def condition(self, labels: Tensor) -> Tensor:
        return labels.to(self.device, torch.int64)

    def null_condition(self, n: int) -> Tensor:
        return torch.full((n,), self.classes, dtype=torch.int64, device=self.device)

    def denoise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        self.count(len(x_t))
        return self.unet(x_t, t, class_labels=c).sample

    def embed_condition(self, c: Tensor) -> Tensor:
        return self.unet.class_embedding(c)

    def denoise_embedded(self, x_t: Tensor, t: Tensor, e: Tensor) -> Tensor:
        self.count(len(x_t))
        table = {"class_embedding.weight": e}  # row i is asked for by image i
        rows = torch.arange(len(e), device=e.device)
        return functional_call(self.unet, table, (x_t, t), {"class_labels": rows}).sample

    def trainable(self, subset: str) -> dict[str, nn.Parameter]:
        """A key of ``SUBSETS``; ``notime`` is all but the time embedding."""
        return select_parameters(self.unet, SUBSETS, subset)


def build_class_conditional(
    settings: DenoiserSettings, shape: tuple[int, int, int], classes: int
) -> ClassConditional:
    """A fresh model for images of ``shape`` (C, H, W); its weights come from torch's global generator.

    Raises:
        InvalidParameter: ``attention`` names a side that no resolution has.
    """
    channels, height, width = shape
    sides = [height >> level for level in range(len(settings.channels))]
    attending = sides[1:] if settings.attention is None else settings.attention
    if unknown := set(attending) - set(sides):
        raise InvalidParameter(f"denoiser.attention: {sorted(unknown)}: allowed are {sides}")
    unet = UNet2DModel(
        sample_size=(height, width),
        in_channels=channels,
        out_channels=channels,
        block_out_channels=settings.channels,
        layers_per_block=settings.layers_per_block,
        down_block_types=tuple("AttnDownBlock2D" if s in attending else "DownBlock2D" for s in sides),
        up_block_types=tuple("AttnUpBlock2D" if s in attending else "UpBlock2D" for s in reversed(sides)),
        attention_head_dim=settings.channels[-1] // 2,
        norm_num_groups=8,
        dropout=settings.dropout,
        num_class_embeds=classes + 1,
    )
    scheduler = DDPMScheduler(
        num_train_timesteps=settings.timesteps,
        beta_start=settings.beta_start,
        beta_end=settings.beta_end,
        beta_schedule="linear",
        clip_sample=True,
    )
    return ClassConditional(unet, scheduler)
