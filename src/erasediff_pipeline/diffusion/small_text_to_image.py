"""A Stable Diffusion small enough to be trained here: the same parts, a few of everything."""

from collections.abc import Sequence

from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from erasediff_pipeline.config import AutoencoderSettings, DenoiserSettings, TextEncoderSettings
from erasediff_pipeline.diffusion.text_to_image import TextToImage


def build_text_to_image(
    denoiser: DenoiserSettings, shape: tuple[int, int, int], captions: Sequence[str]
) -> TextToImage:
    """A fresh model for images of ``shape`` (C, H, W); its weights come from torch's global generator.

    Args:
        denoiser: With ``text_to_image``.
        shape: Of the images.
        captions: Of the training images: the tokenizer learns its merges from them, and each distinct one is
            a prompt of the model, in alphabetical order.
    """
    settings = denoiser.text_to_image
    assert settings is not None
    tokenizer = train_tokenizer(captions, settings.text_encoder)
    vae = build_autoencoder(settings.autoencoder, shape)
    return TextToImage(
        build_unet(denoiser, vae, settings.text_encoder.width, shape),
        vae,
        build_text_encoder(settings.text_encoder, tokenizer),
        tokenizer,
        DDPMScheduler(
            num_train_timesteps=denoiser.timesteps,
            beta_start=denoiser.beta_start,
            beta_end=denoiser.beta_end,
            beta_schedule="linear",
            clip_sample=False,
        ),
        sorted(set(captions)),
        train_text_encoder=True,
    )


def train_tokenizer(captions: Sequence[str], settings: TextEncoderSettings) -> CLIPTokenizer:
    """CLIP's byte-level BPE, with merges of its own."""
    distinct = sorted(set(captions))
    tokenizer = CLIPTokenizer().train_new_from_iterator(distinct, settings.vocabulary, show_progress=False)
    tokenizer.model_max_length = settings.context_length
    return tokenizer


def build_text_encoder(settings: TextEncoderSettings, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """CLIP's text transformer (arXiv 2103.00020)."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=4 * settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        max_position_embeddings=settings.context_length,
        projection_dim=settings.width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    encoder = CLIPTextModel(config)
    # With CLIP's own 0.02, sentences are almost the same at the start: the U-Net then learns first of all to
    # ignore them, and does not find back.
    nn.init.normal_(encoder.get_parameter("embeddings.token_embedding.weight"))
    return encoder


def build_autoencoder(settings: AutoencoderSettings, shape: tuple[int, int, int]) -> AutoencoderKL:
    """It halves the side once less often than it has resolutions."""
    levels = len(settings.channels)
    return AutoencoderKL(
        in_channels=shape[0],
        out_channels=shape[0],
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.channels,
        latent_channels=settings.latent_channels,
        norm_num_groups=8,
        sample_size=shape[1],
    )


def build_unet(
    denoiser: DenoiserSettings, vae: AutoencoderKL, width: int, shape: tuple[int, int, int]
) -> UNet2DConditionModel:
    """Cross-attention to the text at every resolution."""
    levels = len(denoiser.channels)
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    return UNet2DConditionModel(
        sample_size=shape[1] // factor,
        in_channels=vae.config.latent_channels,
        out_channels=vae.config.latent_channels,
        block_out_channels=denoiser.channels,
        layers_per_block=denoiser.layers_per_block,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        cross_attention_dim=width,
        attention_head_dim=4,
        norm_num_groups=8,
        dropout=denoiser.dropout,
    )
