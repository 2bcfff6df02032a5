"""Whether a base model works, and fits the data."""

import logging
import shlex

import pandas as pd
import torch
from torch import Tensor, nn

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.split import hash_train_set
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.models.family import Family, Latents
from erasediff_pipeline.diffusion.models.prompted import Prompted
from erasediff_pipeline.errors import InvalidParameter, MissingInput

logger = logging.getLogger(__name__)


def check_condition(model: DiffusionModel, where: str, captions: CaptionSettings) -> None:
    """Refuse words for a class-conditional model, and a text-to-image model without words.

    Args:
        model: The base model.
        where: Its place, for the message.
        captions: Words of the classes.

    Raises:
        InvalidParameter: Model and ``captions.words`` do not fit.
    """
    by_words = isinstance(model, Prompted)
    if by_words != bool(captions.words):
        kind = "a text-to-image model: name words" if by_words else "class-conditional: remove the words"
        raise InvalidParameter(
            f"captions.words: words for the classes {list(captions.words)}, but base_model {where} is {kind}"
        )


def check_shape(model: DiffusionModel, where: str, images: LabelledImages) -> None:
    """Refuse a base model that was trained on images of another shape, or on fewer classes.

    Args:
        model: The base model.
        where: Its place, for the message.
        images: All images.

    Raises:
        MissingInput: Names both shapes and numbers of classes.
    """
    expected = max(images.classes) + 1
    classes = getattr(model, "classes", expected)  # a text-to-image model has no fixed number of classes
    if model.image_shape == images.shape and classes == expected - 1:
        raise MissingInput(
            f"base_model: {where} has {expected} class embeddings for {expected} classes: expected one more, "
            "the null class, which stands for no class: train the model with it"
        )
    if model.image_shape != images.shape or classes < expected:
        raise MissingInput(
            f"base_model: {where} draws {model.image_shape} (C, H, W) of {classes} classes, the images are "
            f"{images.shape} of {expected}: run `dvc pull --force {shlex.quote(where)}`, or "
            "`kedro run --pipeline=pretrain`, or "
            "fix source.side and source.rgb"
        )


def check_train_set(trained_on: str | None, where: str, manifest: pd.DataFrame, by_ids: bool) -> None:
    """Doubt a base model that was trained on other images than the train split: it may know unseen ones.

    That may be right, for a part of its images, or for images that it has drawn itself. But only a model that
    was trained on single images can forget them.

    Args:
        trained_on: SHA-256 of its training images, see ``hash_train_set``; None is accepted.
        where: Its place, for the message.
        manifest: One row per image.
        by_ids: Whether single images are to be forgotten.

    Raises:
        MissingInput: The hashes differ, and ``by_ids``.
    """
    if trained_on is None or trained_on == hash_train_set(manifest):
        return
    said = f"base_model: {where} was trained on other images than those of the train split in the manifest"
    if by_ids:
        raise MissingInput(
            f"{said}: restore the data, for example with the seed and the source of before in `kedro run "
            "--pipeline=prepare`, or train it again with `kedro run --pipeline=pretrain`"
        )
    logger.warning("%s: images that are called unseen here may be among them", said)


PART = 8
"""Side of the latents that an autoencoder is tried on: any size will do, and a whole image takes seconds."""


def find_damage(network: nn.Module) -> str:
    """Say which of a network's weights is missing or not finite; empty if all are whole."""
    for name, weight in network.state_dict().items():
        if weight.is_meta:
            return f"{name} is missing from the weights: download the model again"
        if not torch.isfinite(weight).all():
            return f"{name} is not finite: restore the weights"
    return ""


@torch.no_grad()
def check_works(model: Family, where: str, name: str = "base_model") -> None:
    """Refuse a model that cannot be trained or sampled: its weights, its noise, or its prediction are wrong.

    It takes one prediction for one image. A model that has learnt little is not refused, only one whose
    prediction, embedding or picture is the same everywhere, as with weights of zero.

    Args:
        model: The model, on any device.
        where: Its place, for the message.
        name: Its name in the catalog, for the message.

    Raises:
        MissingInput: Names what is wrong.
    """

    def refuse(what: str) -> MissingInput:
        return MissingInput(f"{name}: {where}: {what}")

    if "sample_size" in model.denoiser.config and model.denoiser.config.sample_size is None:
        part = model.denoiser_name
        raise refuse(f"sample_size: null: write the height of its samples to {part}/config.json")
    if damage := find_damage(model):
        raise refuse(damage)
    if wrong := model.process.find_fault():
        raise refuse(wrong)
    shape, times = (1, *model.sample_shape), model.process.times.to(model.device)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    try:
        condition = model.null_condition(1)
        prediction = model.denoise(noise, times[[len(times) // 2]], condition)
        drawn = prediction
        if isinstance(model, Latents):
            drawn = model.vae.decode(model.unscale(noise[..., :PART, :PART])).sample
    except (RuntimeError, ValueError, IndexError) as error:
        raise refuse(
            f"its parts do not fit: {' '.join(str(error).split())}: take all from one model"
        ) from None
    if prediction.shape != noise.shape:
        raise refuse(f"predicts {tuple(prediction.shape[1:])} for {shape[1:]} (C, H, W)")
    if _says_nothing(prediction):
        raise refuse("predicts the same number everywhere, or one that is not finite: restore the weights")
    if isinstance(model, Prompted) and _says_nothing(model.embed_prompts([""])["prompt_embeds"]):
        raise refuse("text_encoder: the same number everywhere, or none that is finite: restore the weights")
    if _says_nothing(drawn):
        raise refuse("vae: draws one colour, or none that is finite: restore the weights")


def _says_nothing(values: Tensor) -> bool:
    """Whether each channel of ``[N, C, …]`` is one number, or one of them is not finite."""
    channels = values.flatten(2)
    return not torch.isfinite(values).all() or bool((channels == channels[..., :1]).all())
