"""The training loop, and the models that are trained from scratch."""

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from erasediff_pipeline.config.base import Settings
from erasediff_pipeline.errors import InvalidParameter

MEMORY = {"accumulation", "gradient_checkpointing", "mixed_precision"}
"""Settings that save memory, all off by default."""


class TrainingSettings(Settings):
    """Settings of the training loop, for pretraining and for every method."""

    steps: int = Field(ge=1)
    """Optimiser steps."""

    batch_size: int = Field(128, ge=1)
    """Images in a step, from each set that the method reads."""

    learning_rate: float = Field(gt=0)
    """Step size of Adam; its peak under ``one_cycle``."""

    optimiser: Literal["adamw", "adamw_8bit"] = "adamw"
    """``adamw_8bit`` keeps Adam's two moments of tensors with 4096 weights or more in 8 bits, scaled in
    blocks of 256 (arXiv 2110.02861): 2 bytes a weight instead of 8. It needs the extra of that name
    (bitsandbytes)."""

    schedule: Literal["constant", "one_cycle"] = "constant"
    """``one_cycle``: warm-up and cosine decay over ``steps``, with the inverse cycle for β₁ (arXiv
    1708.07120)."""

    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay (AdamW, arXiv 1711.05101)."""

    max_grad_norm: float = Field(1.0, gt=0)
    """Largest 2-norm of the gradient; a longer gradient is scaled down to it."""

    ema_decay: float = Field(ge=0, lt=1)
    """Decay of the moving average of the weights, which is the result; 0 takes the last weights.

    diffusers' ``EMAModel`` warms up: after n steps the decay is at most (1 + n) / (10 + n).
    """

    condition_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the retain images that are trained under the null condition (arXiv 2207.12598)."""

    mixed_precision: Annotated[
        Literal["no", "bf16", "fp16"],
        BeforeValidator(lambda value: "no" if value is False else value),  # YAML reads no as false
    ] = "no"
    """Precision of the forward pass, by accelerate. ``bf16`` has the range of 32-bit floats, and works on
    CPUs, too. ``fp16`` is for GPUs without bf16: gradients are scaled, see ``LossScale``, and the preparation
    of a method runs in 32 bits."""

    accumulation: int = Field(1, ge=1)
    """Parts of a batch that are processed one after the other, to save memory; a divisor of ``batch_size``.

    What a method computes for each batch, such as λ of EraseDiff, it then computes for each part. The
    preparation of a method (a mask, a proxy) uses as many parts. Several processes share the parts of a
    batch, at least one each: training on two processes gives what one process gives with 2 parts.
    """

    gradient_checkpointing: bool = False
    """Compute activations a second time instead of keeping them: less memory, a third more time."""

    log_every: int = Field(10, ge=1)
    """Steps between two points of the curves."""

    checkpoint_every: int = Field(500, ge=1)
    """Steps between two checkpoints. A killed run resumes from the last one; a finished run removes it."""

    @model_validator(mode="after")
    def _whole_parts(self) -> "TrainingSettings":
        if self.batch_size % self.accumulation:
            raise ValueError(f"accumulation {self.accumulation}: it must divide batch_size {self.batch_size}")
        return self

    def parts_for(self, processes: int, key: str) -> int:
        """Number of parts of a batch for so many processes: the same number for each, at least one.

        Args:
            key: Name of the batch size in the message.

        Raises:
            InvalidParameter: The batch size is no multiple of the number of parts.
        """
        parts = math.lcm(self.accumulation, processes)
        if self.batch_size % parts:
            raise InvalidParameter(
                f"{key}: {self.batch_size}: use a multiple of {parts} "
                f"({processes} processes, accumulation {self.accumulation})"
            )
        return parts

    @property
    def part_size(self) -> int:
        """Images in one forward pass."""
        return self.batch_size // self.accumulation

    @property
    def saves_memory(self) -> bool:
        """Whether a setting of ``MEMORY`` is on."""
        return any(getattr(self, name) != type(self).model_fields[name].default for name in MEMORY)


class AutoencoderSettings(TrainingSettings):
    """Autoencoder of a latent diffusion model, and its training (arXiv 2112.10752, section 3.1)."""

    channels: tuple[int, ...] = Field((16, 32), min_length=2)
    """Channels of each resolution, from fine to coarse, each a multiple of 8; each halves height and
    width."""

    latent_channels: int = Field(4, ge=1)
    """Channels of the latents; Stable Diffusion has 4."""

    kl_weight: float = Field(1e-6, ge=0)
    """w, weight of the divergence from N(0, 1), see ``reconstruction_loss``; the paper's value."""

    steps: int = Field(400, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    ema_decay: float = Field(0.0, ge=0, lt=1)
    log_every: int = Field(25, ge=1)


class TextEncoderSettings(Settings):
    """CLIP text encoder (arXiv 2103.00020), trained together with the U-Net."""

    width: int = Field(64, ge=8)
    """Width of the embeddings, and of the cross-attention of the U-Net."""

    layers: int = Field(2, ge=1)
    """Transformer blocks."""

    heads: int = Field(4, ge=1)
    """Attention heads in each block; a divisor of ``width``."""

    vocabulary: int = Field(700, ge=514)
    """Largest number of tokens: 256 bytes, the same at the end of a word, two special tokens, and merges."""

    context_length: int = Field(8, ge=3)
    """Tokens of a prompt, with the two special ones. Short, since padding dilutes the attention to the
    words."""

    @model_validator(mode="after")
    def _whole_heads(self) -> "TextEncoderSettings":
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads}: it must divide width {self.width}")
        return self


class TextToImageSettings(Settings):
    """Parts of a latent text-to-image model besides the U-Net."""

    autoencoder: AutoencoderSettings = AutoencoderSettings()
    text_encoder: TextEncoderSettings = TextEncoderSettings()


class DenoiserSettings(Settings):
    """The U-Net and the noise schedule of the base model."""

    pretrained: str | None = None
    """An existing base model: a diffusers directory, or an id of the Hugging Face hub; null trains one."""

    revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")
    """Commit of the hub repository, 40 hexadecimal digits. Required there, since a name may change
    weights."""

    channels: tuple[int, ...] = Field((32, 64), min_length=2)
    """Channels of each resolution, from fine to coarse; each a multiple of 8 (group norm)."""

    layers_per_block: int = Field(1, ge=1)
    """Residual blocks at each resolution."""

    attention: tuple[int, ...] | None = None
    """Resolutions with self-attention, by their height in pixels, for example ``[16]``; null is all but the
    finest. For pixel models only: a text-to-image model has attention at all but the finest."""

    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout in the residual blocks. The released CIFAR-10 model uses 0.1; the digits need none."""

    timesteps: int = Field(1000, ge=1)
    """Length T of the forward process (DDPM, arXiv 2006.11239, section 4)."""

    beta_start: float = Field(1e-4, gt=0, lt=1)
    """β of the first timestep; the schedule is linear (same source)."""

    beta_end: float = Field(0.02, gt=0, lt=1)
    """β of the last timestep (same source)."""

    thresholding: bool = False
    """Clip the estimate of the image in each sampling step to the range of pixels (static thresholding, arXiv
    2205.11487, section 2.3). Without it, DPM-Solver may draw speckled images from a model that is not fully
    trained. For pixel models only; saved in the scheduler, so it holds wherever the model is loaded."""

    text_to_image: TextToImageSettings | None = None
    """Settings of a latent text-to-image model; null makes a class-conditional pixel model."""

    @model_validator(mode="after")
    def _multiples_of_eight(self) -> "DenoiserSettings":
        if any(width < 8 or width % 8 for width in self.channels):
            raise ValueError(f"channels {list(self.channels)} must be positive multiples of 8")
        return self

    @model_validator(mode="after")
    def _noise_grows(self) -> "DenoiserSettings":
        if self.beta_start > self.beta_end:
            raise ValueError(f"beta_start {self.beta_start}: expected at most beta_end, {self.beta_end}")
        return self

    @model_validator(mode="after")
    def _pixels_have_a_range(self) -> "DenoiserSettings":
        if self.thresholding and self.text_to_image is not None:
            raise ValueError(
                "thresholding: true does not work with text_to_image: latents have no fixed range"
            )
        return self


class PretrainSettings(TrainingSettings):
    """Training of the base model, on every training image."""

    steps: int = Field(2500, ge=1)
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    ema_decay: float = Field(0.995, ge=0, lt=1)

    condition_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the images that are trained under the null condition. arXiv 2207.12598 finds 0.1 to 0.2 best
    for FID. With the forget target ``null`` a larger share helps: it leads to the unconditional samples, and
    the clearer these are, the fewer are taken for the forgotten class."""

    log_every: int = Field(25, ge=1)


class ClassifierSettings(Settings):
    """The classifier of samples: trained on the same training images, or an existing one."""

    pretrained: Literal["efficientnet_lite0", "resnet50", "open_nsfw"] | None = None
    """An existing classifier; null trains one. ``efficientnet_lite0`` and ``resnet50`` have ImageNet weights:
    each class of ``captions.words`` needs a word that is one of ImageNet's 1,000 class names. ``open_nsfw``
    assigns pornographic images to class 0, and the others to class 1."""

    architecture: Literal["cnn", "resnet18", "resnet34"] = "cnn"
    """``cnn`` has four convolutions, for small grey images. The others are torchvision's, for images of 32×32
    pixels or more; they have 11 and 21 million weights."""

    channels: int = Field(32, ge=8)
    """Channels of the first convolution of ``cnn``."""

    features: int = Field(64, ge=2)
    """Width of the penultimate layer of ``cnn``, the features of FID, precision and recall; 512 in a
    ResNet."""

    shift: int = Field(1, ge=0)
    """Largest random shift of a batch, in pixels, with wrap-around: augmentation."""

    mirror: bool = False
    """Mirror half of the batches. Leave it off if left and right differ in meaning, as in digits."""

    epochs: int = Field(40, ge=1)
    """Passes over the training images."""

    batch_size: int = Field(64, ge=1)
    """Images in a step."""

    learning_rate: float = Field(2e-3, gt=0)
    """Peak step size of AdamW under a one-cycle schedule."""

    min_test_accuracy: float | None = Field(0.98, ge=0, le=1)
    """Lowest accuracy on the test split, as a share; a rejected image is wrong. A worse classifier is
    refused. Null asks only that it goes a quarter of the way from chance, the share of the largest class, to
    1. Below 0.9 its accuracy is a warning, and stands beside the figures that depend on it."""
