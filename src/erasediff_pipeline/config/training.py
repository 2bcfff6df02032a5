"""The models that are trained, and the one training loop."""

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from erasediff_pipeline.config.base import Settings
from erasediff_pipeline.errors import InvalidParameter

MEMORY = {"accumulation", "gradient_checkpointing", "mixed_precision"}
"""The settings that save memory, all off by default."""


class TrainingSettings(Settings):
    """What the one training loop needs to know, for pretraining and for every method."""

    steps: int = Field(ge=1)
    """Optimiser steps."""

    batch_size: int = Field(128, ge=1)
    """Images a step, from each of the sets that the method reads."""

    learning_rate: float = Field(gt=0)
    """Adam's step size; the peak of it under ``one_cycle``."""

    optimiser: Literal["adamw", "adamw_8bit"] = "adamw"
    """``adamw_8bit`` keeps Adam's two moments in 8 bits, each block of 256 scaled by itself (arXiv
    2110.02861), where a tensor has 4096 weights or more: 2 bytes a weight in place of 8. It needs the extra
    of that name (bitsandbytes)."""

    schedule: Literal["constant", "one_cycle"] = "constant"
    """``one_cycle``: warm-up and cosine decay over ``steps``, β₁ the other way round (arXiv 1708.07120)."""

    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay (AdamW, arXiv 1711.05101)."""

    max_grad_norm: float = Field(1.0, gt=0)
    """The gradient is scaled down to this 2-norm where it is longer."""

    ema_decay: float = Field(ge=0, lt=1)
    """Decay of the running mean of the weights, which is what is kept; 0 keeps the last weights.

    diffusers' ``EMAModel`` warms up: after n steps the decay is at most (1 + n) / (10 + n).
    """

    condition_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of retain images trained under the null condition (arXiv 2207.12598)."""

    mixed_precision: Annotated[
        Literal["no", "bf16", "fp16"],
        BeforeValidator(lambda value: "no" if value is False else value),  # YAML reads no as false
    ] = "no"
    """Precision of the forward pass, through accelerate. ``bf16`` has the range of 32 bits, and the CPU
    computes in it, too; ``fp16`` is for GPUs without it: its gradients are scaled, see ``LossScale``, and
    what a method prepares is computed in 32 bits."""

    accumulation: int = Field(1, ge=1)
    """Parts that a batch is taken in, one after the other: memory shrinks, time does not. What a method finds
    anew for each batch, as EraseDiff its λ, it then finds for each part. A divisor of ``batch_size``. What a
    method prepares, as a mask or a proxy, is taken in as many parts. Several processes share the parts of a
    batch, which are at least as many as they: on two, a training is what it is on one with 2."""

    gradient_checkpointing: bool = False
    """Whether activations are computed a second time instead of kept: less memory, a third more time."""

    log_every: int = Field(10, ge=1)
    """Steps between two logged points of the curves."""

    checkpoint_every: int = Field(500, ge=1)
    """Steps between two checkpoints, from which a killed run goes on; removed at success."""

    @model_validator(mode="after")
    def _whole_parts(self) -> "TrainingSettings":
        if self.batch_size % self.accumulation:
            raise ValueError(f"accumulation {self.accumulation}: it must divide batch_size {self.batch_size}")
        return self

    def parts_for(self, processes: int, key: str) -> int:
        """Parts of a batch that so many processes share: as many for each, at least one.

        Args:
            key: What the batch size is called, for the message.

        Raises:
            InvalidParameter: The batch cannot be divided so.
        """
        parts = math.lcm(self.accumulation, processes)
        if self.batch_size % parts:
            raise InvalidParameter(
                f"{key}: {self.batch_size}: allowed are multiples of {parts} "
                f"({processes} processes, accumulation {self.accumulation})"
            )
        return parts

    @property
    def part_size(self) -> int:
        """Images that go through the model at a time."""
        return self.batch_size // self.accumulation

    @property
    def spares_memory(self) -> bool:
        """Whether any of ``MEMORY`` is in use."""
        return any(getattr(self, name) != type(self).model_fields[name].default for name in MEMORY)


class AutoencoderSettings(TrainingSettings):
    """The autoencoder of a latent diffusion model, and its training (arXiv 2112.10752, section 3.1)."""

    channels: tuple[int, ...] = Field((16, 32), min_length=2)
    """Channels of each resolution, from fine to coarse, each a multiple of 8; the side halves between."""

    latent_channels: int = Field(4, ge=1)
    """Channels of the latents; Stable Diffusion has 4."""

    kl_weight: float = Field(1e-6, ge=0)
    """w of the divergence from N(0, 1), see ``reconstruction_loss``; that of the source."""

    steps: int = Field(400, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    ema_decay: float = Field(0.0, ge=0, lt=1)
    log_every: int = Field(25, ge=1)


class TextEncoderSettings(Settings):
    """A CLIP text encoder (arXiv 2103.00020), trained along with the U-Net."""

    width: int = Field(64, ge=8)
    """Width of its embeddings, and of the U-Net's cross-attention."""

    layers: int = Field(2, ge=1)
    """Transformer blocks."""

    heads: int = Field(4, ge=1)
    """Attention heads of each; a divisor of ``width``."""

    vocabulary: int = Field(700, ge=514)
    """At most so many tokens: the 256 bytes, each also as the end of a word, two special ones, and merges."""

    context_length: int = Field(8, ge=3)
    """Tokens of a prompt, the two special ones included. Short, since the padding behind a word thins out
    what the U-Net's attention sees of it."""

    @model_validator(mode="after")
    def _whole_heads(self) -> "TextEncoderSettings":
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads}: it must divide width {self.width}")
        return self


class TextToImageSettings(Settings):
    """What a latent diffusion model with prompts has beside a U-Net."""

    autoencoder: AutoencoderSettings = AutoencoderSettings()
    text_encoder: TextEncoderSettings = TextEncoderSettings()


class DenoiserSettings(Settings):
    """The U-Net and the noise schedule of the base model."""

    pretrained: str | None = None
    """A base model that exists: a diffusers directory, or an id of the Hugging Face hub; null trains one."""

    revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")
    """Commit of the hub's repository, whole; needed there, since a name can come to mean other weights."""

    channels: tuple[int, ...] = Field((32, 64), min_length=2)
    """Channels of each resolution, from fine to coarse; each a multiple of 8 (group norm)."""

    layers_per_block: int = Field(1, ge=1)
    """Residual blocks at each resolution."""

    attention: tuple[int, ...] | None = None
    """Sides, in pixels, of the resolutions that have self-attention, for example ``[16]``; null is all but
    the finest. Of a model of pixels; one with prompts attends everywhere but at the finest."""

    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout in the residual blocks; the released CIFAR-10 model uses 0.1, the digits need none."""

    timesteps: int = Field(1000, ge=1)
    """Length T of the forward process (DDPM, arXiv 2006.11239, section 4)."""

    beta_start: float = Field(1e-4, gt=0, lt=1)
    """β of the first timestep, linear schedule (same source)."""

    beta_end: float = Field(0.02, gt=0, lt=1)
    """β of the last timestep (same source)."""

    thresholding: bool = False
    """Whether each step of sampling clips its estimate of the image to the range of pixels (arXiv 2205.11487,
    section 2.3, static). Without it DPM-Solver's images may come out speckled, of a model that is not trained
    to the end. Of a model of pixels; noted in its scheduler, so that it holds wherever it is loaded."""

    text_to_image: TextToImageSettings | None = None
    """Of a latent diffusion model with prompts for conditions; null is one of pixels and classes."""

    @model_validator(mode="after")
    def _multiples_of_eight(self) -> "DenoiserSettings":
        if any(width < 8 or width % 8 for width in self.channels):
            raise ValueError(f"channels {list(self.channels)} must be positive multiples of 8")
        return self

    @model_validator(mode="after")
    def _pixels_have_a_range(self) -> "DenoiserSettings":
        if self.thresholding and self.text_to_image is not None:
            raise ValueError("thresholding true: not with text_to_image, whose latents have no range")
        return self


class PretrainSettings(TrainingSettings):
    """Training of the base model on every training image."""

    steps: int = Field(2500, ge=1)
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    ema_decay: float = Field(0.995, ge=0, lt=1)

    condition_dropout: float = Field(0.5, ge=0, lt=1)
    """Share of images trained under the null condition (arXiv 2207.12598, which finds 0.1 to 0.2 best for
    FID). Half, since forgetting with the target ``null`` ends where the unconditional samples are: the more
    of these are clear digits, the fewer are taken for the forgotten one."""

    log_every: int = Field(25, ge=1)


class ClassifierSettings(Settings):
    """The judge of the samples: trained on the same training images, or one that exists."""

    pretrained: Literal["efficientnet_lite0", "resnet50", "open_nsfw"] | None = None
    """A judge that exists, in place of training one. ``efficientnet_lite0`` and ``resnet50`` have ImageNet's
    weights: each class of ``captions.words`` needs a word that is one of ImageNet's 1,000 names.
    ``open_nsfw``: class 0 is what it takes for pornographic, class 1 is the rest."""

    architecture: Literal["cnn", "resnet18", "resnet34"] = "cnn"
    """``cnn`` has four convolutions and suits small grey images; the others are torchvision's, for images of
    32×32 and larger (11 and 21 million weights)."""

    channels: int = Field(32, ge=8)
    """Channels of the first convolution of ``cnn``."""

    features: int = Field(64, ge=2)
    """Width of the penultimate layer of ``cnn``, whose output FID, precision and recall are computed from; a
    ResNet's is 512 wide."""

    shift: int = Field(1, ge=0)
    """Pixels by which the images of a batch are shifted at most, around the edge, so that it learns more
    than their places."""

    mirror: bool = False
    """Whether half of the batches are mirrored: not where left and right mean something, as in digits."""

    epochs: int = Field(40, ge=1)
    """Passes over the training images."""

    batch_size: int = Field(64, ge=1)
    """Images a step."""

    learning_rate: float = Field(2e-3, gt=0)
    """Peak of a one-cycle schedule, AdamW."""

    min_test_accuracy: float = Field(0.98, ge=0, le=1)
    """A judge that does worse on the test split is refused."""
