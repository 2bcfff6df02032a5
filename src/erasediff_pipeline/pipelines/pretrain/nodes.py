"""Nodes of ``pretrain``."""

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMScheduler, DiffusionPipeline, StableDiffusionPipeline

from erasediff_pipeline.config import (
    CaptionSettings,
    ClassifierSettings,
    DenoiserSettings,
    MachineSettings,
    PretrainSettings,
)
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.autoencoder import Autoencoder, scale_latents
from erasediff_pipeline.diffusion.model import build_class_conditional
from erasediff_pipeline.diffusion.pretrained import check_named, load_pretrained
from erasediff_pipeline.diffusion.small_text_to_image import build_text_to_image
from erasediff_pipeline.errors import InvalidParameter, UserError
from erasediff_pipeline.evaluation.classifiers.classifier import accuracy, train_classifier
from erasediff_pipeline.evaluation.classifiers.pretrained import Judge, load_judge
from erasediff_pipeline.paths import checkpoint_path, kedro_run
from erasediff_pipeline.seeding import derive_seed
from erasediff_pipeline.tracking.scalars import log_scalars
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.loop import PLAIN, train
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.training.reconstruction import Reconstruction


def select_train(images: LabelledImages, manifest: pd.DataFrame) -> LabelledImages:
    """The images that models may be trained on."""
    return images.select((manifest["split"] == "train").to_numpy())


def load_base_model(denoiser: DenoiserSettings) -> DiffusionPipeline:
    """The model that ``denoiser.pretrained`` names."""
    check_named(denoiser)
    return load_pretrained(str(denoiser.pretrained), denoiser.revision)


def train_base_model(
    train_images: LabelledImages,
    manifest: pd.DataFrame,
    denoiser: DenoiserSettings,
    settings: PretrainSettings,
    seed: int,
    machine: MachineSettings = PLAIN,
) -> DiffusionPipeline:
    """Train the base model, or load it; what is kept of a training is the running mean of the weights."""
    if denoiser.pretrained is not None:
        return load_base_model(denoiser)
    torch.manual_seed(derive_seed(seed, "base model"))
    if denoiser.text_to_image is not None:
        if "prompt" not in manifest:
            raise InvalidParameter(
                "captions.words: the images were prepared without captions: name words, and run "
                f"`{kedro_run('prepare')}`"
            )
        captions = manifest["prompt"][manifest["split"] == "train"]
        return train_text_to_image(train_images, captions.tolist(), denoiser, settings, seed, machine)
    model = build_class_conditional(denoiser, train_images.shape, max(train_images.classes) + 1)
    if denoiser.thresholding:
        # Made anew, since a sampler does not inherit what a scheduler was not made with.
        model.scheduler = DDPMScheduler.from_config(model.scheduler.config, thresholding=True)
    data = TrainingData(retain=train_images)
    place = checkpoint_path("pretrain")
    train(model, Denoising(settings), data, settings, seed, place, log_scalars, machine=machine)
    return model.to_pipeline()


def train_text_to_image(
    train_images: LabelledImages,
    captions: list[str],
    denoiser: DenoiserSettings,
    settings: PretrainSettings,
    seed: int,
    machine: MachineSettings,
) -> StableDiffusionPipeline:
    """Train the autoencoder, then U-Net and text encoder on its latents."""
    assert denoiser.text_to_image is not None
    model = build_text_to_image(denoiser, train_images.shape, captions)
    of_autoencoder = denoiser.text_to_image.autoencoder
    train(
        Autoencoder(model.vae),
        Reconstruction(of_autoencoder),
        TrainingData(retain=train_images),
        of_autoencoder,
        seed,
        checkpoint_path("autoencoder"),
        machine=machine,
    )
    scale_latents(model.vae, train_images)
    numbers = np.array([model.prompts.index(caption) for caption in captions])
    captioned = TrainingData(retain=train_images.relabelled(numbers))
    place = checkpoint_path("pretrain")
    train(model, Denoising(settings), captioned, settings, seed, place, log_scalars, machine=machine)
    return model.to_pipeline()


def make_judge(
    train_images: LabelledImages,
    images: LabelledImages,
    manifest: pd.DataFrame,
    settings: ClassifierSettings,
    captions: CaptionSettings,
    seed: int,
) -> tuple[Judge, dict[str, float]]:
    """Train the judge, or take one that exists, and refuse one that the test split shows to be poor."""
    if settings.pretrained is None:
        judge: Judge = train_classifier(train_images, settings, seed)
    else:
        judge = load_judge(settings.pretrained, captions)
    unseen = images.select((manifest["split"] == "test").to_numpy())
    reached = accuracy(judge, unseen)
    if reached < settings.min_test_accuracy:
        remedy = "train longer or wider" if settings.pretrained is None else "look at the images"
        raise UserError(
            f"classifier: accuracy {reached:.4f} on the test split is below "
            f"classifier.min_test_accuracy {settings.min_test_accuracy}: {remedy}"
        )
    return judge, {"test_accuracy": round(reached, 6), "test_images": len(unseen)}
