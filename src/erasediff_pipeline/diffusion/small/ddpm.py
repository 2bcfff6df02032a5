"""A small class-conditional U-Net in pixel space."""

from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from erasediff_pipeline.config import DenoiserSettings
from erasediff_pipeline.diffusion.models.ddpm import Ddpm
from erasediff_pipeline.errors import InvalidParameter


def build_class_conditional(settings: DenoiserSettings, shape: tuple[int, int, int], classes: int) -> Ddpm:
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
    return Ddpm(DDPMPipeline(unet, scheduler))
