"""A small Stable Diffusion to train here: the same parts, with few layers and channels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from erasediff_pipeline.config import AutoencoderSettings, DenoiserSettings, TextEncoderSettings
from erasediff_pipeline.diffusion.models.stable_diffusion import StableDiffusion


def build_text_to_image(
    denoiser: DenoiserSettings, shape: tuple[int, int, int], captions: Sequence[str]
) -> StableDiffusion:
    """A new model, with random weights from torch's global generator.

    Args:
        denoiser: Settings with ``text_to_image``.
        shape: (C, H, W) of the images.
        captions: Captions of the training images. The tokenizer learns its merges from them; the model's
            prompts are the distinct ones in alphabetical order.
    """
    settings = denoiser.text_to_image
    assert settings is not None
    tokenizer = train_tokenizer(captions, settings.text_encoder)
    vae = _build_autoencoder(settings.autoencoder, shape)
    pipeline = StableDiffusionPipeline(
        vae,
        _build_text_encoder(settings.text_encoder, tokenizer),
        tokenizer,
        _build_unet(denoiser, vae, settings.text_encoder.width, shape),
        DDPMScheduler(
            num_train_timesteps=denoiser.timesteps,
            beta_start=denoiser.beta_start,
            beta_end=denoiser.beta_end,
            beta_schedule="linear",
            clip_sample=False,
            steps_offset=1,  # as Stable Diffusion's pipeline requires
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return StableDiffusion(pipeline, sorted(set(captions)), train_text_encoder=True)


def train_tokenizer(captions: Sequence[str], settings: TextEncoderSettings) -> CLIPTokenizer:
    """A tokenizer like CLIP's, byte-level BPE, with merges learned from ``captions``.

    CLIP's pre-tokenizer splits the words. The merges are learned here, because the trainer of ``tokenizers``
    numbers tokens in the order of a hash map: no two trainings give the same tokenizer.
    """
    backend = CLIPTokenizer().backend_tokenizer
    words: Counter[str] = Counter()
    for caption in sorted(set(captions)):
        text = backend.normalizer.normalize_str(caption)
        words.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text))
    letters = sorted(ByteLevel.alphabet())
    alphabet = [*letters, *(f"{letter}</w>" for letter in letters)]
    special = ["<|startoftext|>", "<|endoftext|>"]
    merges = learn_merges(words, settings.vocabulary - len(alphabet) - len(special))
    tokens = dict.fromkeys([*special, *alphabet, *("".join(pair) for pair in merges)])
    numbers = {token: number for number, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(vocab=numbers, merges=merges)  # type: ignore[arg-type]  # pairs are what BPE takes
    tokenizer.model_max_length = settings.context_length
    return tokenizer


def learn_merges(words: Mapping[str, int], most: int) -> list[tuple[str, str]]:
    """The pairs of tokens to join, in order, the most frequent first (arXiv 1508.07909, algorithm 1).

    Of equally frequent pairs the alphabetically first one is taken. It ends early if every word is one token.

    Args:
        words: Word → its count.
        most: Maximal number of pairs.
    """
    split = {word: [*word[:-1], f"{word[-1]}</w>"] for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < most:
        counts: Counter[tuple[str, str]] = Counter()
        for word, tokens in split.items():
            for pair in pairwise(tokens):
                counts[pair] += words[word]
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        split = {word: _join_pair(tokens, best) for word, tokens in split.items()}
    return merges


def _join_pair(tokens: list[str], pair: tuple[str, str]) -> list[str]:
    """``tokens`` with each occurrence of ``pair`` joined, from the left."""
    joined: list[str] = []
    for token in tokens:
        if joined and (joined[-1], token) == pair:
            joined[-1] += token
        else:
            joined.append(token)
    return joined


def _build_text_encoder(settings: TextEncoderSettings, tokenizer: CLIPTokenizer) -> CLIPTextModel:
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
    # With CLIP's standard deviation, 0.02, all sentences are almost equal at the start: the U-Net learns to
    # ignore them, and never recovers.
    nn.init.normal_(encoder.get_parameter("embeddings.token_embedding.weight"))
    return encoder


def _build_autoencoder(settings: AutoencoderSettings, shape: tuple[int, int, int]) -> AutoencoderKL:
    """An autoencoder; it halves the side once less than it has resolutions."""
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


def _build_unet(
    denoiser: DenoiserSettings, vae: AutoencoderKL, width: int, shape: tuple[int, int, int]
) -> UNet2DConditionModel:
    """A U-Net with cross-attention to the text at every resolution."""
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
