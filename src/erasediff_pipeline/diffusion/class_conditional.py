"""The class-conditional U-Net in pixel space."""

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from torch import Tensor, nn
from torch.func import functional_call

from erasediff_pipeline.config import DenoiserSettings
from erasediff_pipeline.diffusion.model import DiffusionModel, select_parameters, to_pixels
from erasediff_pipeline.errors import InvalidParameter, MissingInput

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
                f"the model has no class embedding (num_class_embeds is {unet.config.num_class_embeds}): "
                "use a class-conditional UNet2DModel"
            )
        self.unet = unet
        self.scheduler = scheduler

    @classmethod
    def from_pipeline(cls, pipeline: DDPMPipeline) -> "ClassConditional":
        """Wrap the parts of a loaded diffusers pipeline."""
        return cls(pipeline.unet, pipeline.scheduler)

    def to_pipeline(self) -> DDPMPipeline:
        """The diffusers pipeline to save; ``DDPMPipeline.from_pretrained`` loads it again."""
        return DDPMPipeline(self.unet, self.scheduler)

    @property
    def classes(self) -> int:
        """Number of classes, without the null class."""
        return int(self.unet.config.num_class_embeds) - 1

    @property
    def image_shape(self) -> tuple[int, ...]:
        return self.sample_shape

    def encode(self, images: Tensor) -> Tensor:
        return images.to(self.device, non_blocking=True).float() / 127.5 - 1

    def decode(self, x0: Tensor) -> Tensor:
        return to_pixels(x0)

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
        table = {"class_embedding.weight": e}  # image i takes row i
        rows = torch.arange(len(e), device=e.device)
        return functional_call(self.unet, table, (x_t, t), {"class_labels": rows}).sample

    def trainable(self, subset: str) -> dict[str, nn.Parameter]:
        """See ``Trainable.trainable``; a key of ``SUBSETS``. ``notime`` leaves out the time embedding."""
        return select_parameters(self.unet, SUBSETS, subset)


def build_class_conditional(
    settings: DenoiserSettings, shape: tuple[int, int, int], classes: int
) -> ClassConditional:
    """A new model, with random weights from torch's global generator.

    Args:
        settings: Architecture and noise schedule.
        shape: (C, H, W) of the images.
        classes: Number of classes, without the null class.

    Raises:
        InvalidParameter: ``attention`` names a side that no resolution has.
    """
    channels, height, width = shape
    sides = [height >> level for level in range(len(settings.channels))]
    attending = sides[1:] if settings.attention is None else settings.attention
    if unknown := set(attending) - set(sides):
        raise InvalidParameter(f"denoiser.attention: {sorted(unknown)}: choose from {sides}")
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
