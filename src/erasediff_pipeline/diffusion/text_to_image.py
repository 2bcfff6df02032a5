"""Stable Diffusion: prompts are the conditions, latents of an autoencoder are x0."""

import copy
import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.tokenization_utils_base import LARGE_INTEGER

from erasediff_pipeline.diffusion.model import DiffusionModel, draw_weights, select_parameters, to_pixels
from erasediff_pipeline.errors import InvalidRequest, MissingInput

SUBSETS = {
    "full": lambda name: True,
    "xattn": lambda name: ".attn2." in name,
    "noxattn": lambda name: ".attn2." not in name and not _is_time_or_output(name),
    "selfattn": lambda name: ".attn1." in name,
    "notime": lambda name: not _is_time_or_output(name),
    "xlayer": lambda name: (
        ".attn2." in name and name.startswith(("up_blocks.2.attentions.0.", "up_blocks.2.attentions.2."))
    ),
    "selflayer": lambda name: (
        ".attn1." in name and name.startswith(("down_blocks.1.attentions.0.", "down_blocks.2.attentions.0."))
    ),
}
"""By the names in the code of arXiv 2303.07345. It numbers the blocks differently: ``output_blocks.6`` and
``.8`` are here ``up_blocks.2.attentions.0`` and ``.2``, ``input_blocks.4`` and ``.7`` are
``down_blocks.1.attentions.0`` and ``down_blocks.2.attentions.0``; ``time_embed`` is ``time_embedding``,
``out`` is ``conv_norm_out`` and ``conv_out``."""


PIXELS_AT_ONCE = 2**18
"""Limit of a pass through the autoencoder, which needs far more memory than the U-Net: 512 × 512."""


def _is_time_or_output(name: str) -> bool:
    """Whether a parameter belongs to the time embedding or to the output layer."""
    return name.startswith(("time_embedding.", "conv_norm_out.", "conv_out."))


class TextToImage(DiffusionModel):
    """The parts of a ``StableDiffusionPipeline``.

    The number of a prompt in ``prompts`` names a condition, as a label names a class: methods, samplers and
    audits need not know which of the two a model has. Unlearning never changes text encoder and autoencoder,
    so each prompt and each image is encoded only once; images are recognised by a hash.

    Args:
        unet: Predicts ε or v in latent space.
        vae: Pixels to latents and back.
        text_encoder: Token ids to embeddings ``[N, L, D]``.
        tokenizer: Text to L token ids.
        scheduler: Any of diffusers; its noise schedule is used, and it is saved again unchanged.
        prompts: The prompts, by number.
        train_text_encoder: Train the text encoder together with the U-Net, for pretraining.
        truncate: Cut prompts that are longer than the context instead of refusing them.

    Raises:
        InvalidRequest: A prompt is too long, or has no tokens, see ``tokenize``.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        scheduler: Any,
        prompts: Sequence[str] = (),
        train_text_encoder: bool = False,
        truncate: bool = False,
    ):
        super().__init__()
        self.unet, self.vae, self.text_encoder = unet, vae, text_encoder
        self.tokenizer = tokenizer
        self.own_scheduler = scheduler
        # If the model's own scheduler has no such setting, diffusers would clip latents like pixels.
        clip = {"clip_sample": scheduler.config.get("clip_sample", False)}
        self.scheduler = DDPMScheduler.from_config(scheduler.config, **clip)
        self.prompts = list(prompts)
        self.train_text_encoder = train_text_encoder
        self.token_ids = tokenize(tokenizer, [*self.prompts, ""], truncate)
        self.embeddings: Tensor | None = None
        self.latents: dict[bytes, Tensor] = {}

    @classmethod
    def from_pipeline(
        cls, pipeline: StableDiffusionPipeline, prompts: Sequence[str] = (), **options: Any
    ) -> "TextToImage":
        """Wrap the parts of a loaded diffusers pipeline."""
        parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.tokenizer, pipeline.scheduler)
        return cls(*parts, prompts, **options)

    def to_pipeline(self) -> StableDiffusionPipeline:
        """The pipeline to save; ``StableDiffusionPipeline.from_pretrained`` loads it again."""
        return StableDiffusionPipeline(
            self.vae,
            self.text_encoder,
            self.tokenizer,
            self.unet,
            self.own_scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "TextToImage":
        """A copy with its own U-Net; parts that never change are shared, which saves memory."""
        shared: list[object] = [self.vae, self.tokenizer, self.latents]
        shared += [] if self.train_text_encoder else [self.text_encoder]
        memo |= {id(part): part for part in shared}
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__ = copy.deepcopy(self.__dict__, memo)
        return copied

    def reinitialise(self, seed: int) -> None:
        """Random weights for the U-Net only: text encoder and autoencoder are given."""
        draw_weights(self.unet, seed)

    @property
    def configs(self) -> list[dict[str, Any]]:
        return [{"prompts": self.prompts}, *super().configs]

    @property
    def image_shape(self) -> tuple[int, ...]:
        _, height, width = self.sample_shape
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return (self.vae.config.out_channels, height * factor, width * factor)

    @property
    def images_at_once(self) -> int:
        """Number of images that go through the autoencoder together."""
        _, height, width = self.image_shape
        return min(16, max(1, PIXELS_AT_ONCE // (height * width)))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Images ``[N, 3, H, W]`` uint8 → latents ``[N, C, h, w]`` float, scaled.

        They are the mean of the autoencoder's distribution; its spread is far below the noise of t = 0.
        """
        keys = [hashlib.sha256(image.numpy().tobytes()).digest() for image in images]
        new = list({key: row for row, key in enumerate(keys) if key not in self.latents}.values())
        for start in range(0, len(new), self.images_at_once):
            rows = new[start : start + self.images_at_once]
            pixels = images[rows].to(self.device, torch.float32) / 127.5 - 1
            with torch.autocast(self.device.type, enabled=False):  # kept and noised in full precision
                latents = self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor
            self.latents |= {keys[row]: x0 for row, x0 in zip(rows, latents.cpu(), strict=True)}
        return torch.stack([self.latents[key] for key in keys]).to(self.device)

    @torch.no_grad()
    def decode(self, x0: Tensor) -> Tensor:
        parts = (x0 / self.vae.config.scaling_factor).split(self.images_at_once)
        return to_pixels(torch.cat([self.vae.decode(part).sample for part in parts]))

    def condition(self, labels: Tensor) -> Tensor:
        """Numbers of prompts ``[N]`` int64 → embeddings ``[N, L, D]``."""
        if self.train_text_encoder:
            return self.embed(self.token_ids[labels.cpu()])
        if self.embeddings is None:  # they are kept: compute them in full precision
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                self.embeddings = torch.cat([self.embed(ids) for ids in self.token_ids.split(64)])
        self.embeddings = self.embeddings.to(self.device)
        return self.embeddings[labels.to(self.device)]

    def null_condition(self, n: int) -> Tensor:
        """The embedding of the empty prompt, n times."""
        return self.condition(torch.full((1,), len(self.prompts))).expand(n, -1, -1)

    def embed(self, token_ids: Tensor) -> Tensor:
        """Token ids ``[N, L]`` → embeddings ``[N, L, D]``."""
        return self.text_encoder(token_ids.to(self.device))[0]

    def denoise(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        self.count(len(x_t))
        return self.unet(x_t, t, encoder_hidden_states=c).sample

    def embed_condition(self, c: Tensor) -> Tensor:
        return c

    def denoise_embedded(self, x_t: Tensor, t: Tensor, e: Tensor) -> Tensor:
        return self.denoise(x_t, t, e)

    def trainable(self, subset: str) -> dict[str, nn.Parameter]:
        """See ``Trainable.trainable``; a key of ``SUBSETS``, and in pretraining also the text encoder."""
        chosen = select_parameters(self.unet, SUBSETS, subset)
        if self.train_text_encoder:
            chosen |= {f"text_encoder.{name}": p for name, p in self.text_encoder.named_parameters()}
        return chosen


def tokenize(tokenizer: CLIPTokenizer, prompts: Sequence[str], truncate: bool = False) -> Tensor:
    """Prompts → token ids ``[N, L]`` int64, padded to the context length L.

    Args:
        tokenizer: The model's own.
        prompts: N texts.
        truncate: Cut a prompt that is longer than L instead of refusing it.

    Raises:
        MissingInput: The tokenizer does not say what L is.
        InvalidRequest: A prompt is longer than L, or it is not empty and has no token.
    """
    length = tokenizer.model_max_length
    if length > LARGE_INTEGER:  # transformers' number for "not given"
        raise MissingInput(
            "tokenizer: model_max_length is missing: write the context length of the text encoder "
            "(77 in Stable Diffusion) to tokenizer/tokenizer_config.json"
        )
    for prompt in prompts:
        ids = tokenizer(prompt).input_ids
        if len(ids) > length and not truncate:
            raise InvalidRequest(
                f"prompt {prompt!r} has {len(ids)} tokens, the text encoder takes {length}: shorten it"
            )
        if prompt and all(token in tokenizer.all_special_ids for token in ids):
            raise InvalidRequest(f"prompt {prompt!r}: the tokenizer finds no token in it: use other words")
    options = {"padding": "max_length", "max_length": length, "truncation": truncate, "return_tensors": "pt"}
    return tokenizer(list(prompts), **options).input_ids
