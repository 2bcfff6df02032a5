"""Train a base model: a denoiser of pixels, or an autoencoder and a denoiser of its latents."""

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMPipeline, DDPMScheduler, DiffusionPipeline, StableDiffusionPipeline

from erasediff_pipeline.config import DenoiserSettings, MachineSettings, PretrainSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.autoencoder import Autoencoder, scale_latents
from erasediff_pipeline.diffusion.models.ddpm import Ddpm
from erasediff_pipeline.diffusion.small.ddpm import build_class_conditional
from erasediff_pipeline.diffusion.small.stable_diffusion import build_text_to_image
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.seeding import derive_seed
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.loop import OnLog, train
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.training.reconstruction import Reconstruction
from erasediff_pipeline.workspace import Workspace


def pretrain(
    train_images: LabelledImages,
    manifest: pd.DataFrame,
    denoiser: DenoiserSettings,
    settings: PretrainSettings,
    seed: int,
    machine: MachineSettings,
    workspace: Workspace,
    on_log: OnLog,
) -> DiffusionPipeline:
    """Train a base model from random weights; the result is the running mean of the weights.

    Args:
        train_images: Images of the train split.
        manifest: One row per image; ``prompt`` is read for a text-to-image model.
        denoiser: Architecture and noise schedule.
        settings: Settings of the training.
        seed: Seed of every random draw.
        machine: How to train faster.
        workspace: Folder of the checkpoints.
        on_log: Called with step and scalars of each logged point.

    Returns:
        A ``DDPMPipeline``, or a ``StableDiffusionPipeline`` if ``denoiser.text_to_image`` is set.

    Raises:
        InvalidParameter: The model is text-to-image, but the images have no captions.
    """
    torch.manual_seed(derive_seed(seed, "base model"))
    if denoiser.text_to_image is not None:
        if "prompt" not in manifest:
            raise InvalidParameter(
                "captions.words: the images were prepared without captions: name words, and run "
                "`kedro run --pipeline=prepare`"
            )
        captions = manifest["prompt"][manifest["split"] == "train"].tolist()
        return _train_text_to_image(
            train_images, captions, denoiser, settings, seed, machine, workspace, on_log
        )
    model = build_class_conditional(denoiser, train_images.shape, max(train_images.classes) + 1)
    if denoiser.thresholding:
        scheduler = DDPMScheduler.from_config(model.process.scheduler.config, thresholding=True)
        model = Ddpm(DDPMPipeline(model.unet, scheduler))
    data, place = TrainingData(retain=train_images), workspace.checkpoint("pretrain")
    train(model, Denoising(settings), data, settings, seed, place, on_log, machine=machine)
    return model.to_pipeline()


def _train_text_to_image(
    train_images: LabelledImages,
    captions: list[str],
    denoiser: DenoiserSettings,
    settings: PretrainSettings,
    seed: int,
    machine: MachineSettings,
    workspace: Workspace,
    on_log: OnLog,
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
        workspace.checkpoint("autoencoder"),
        machine=machine,
    )
    scale_latents(model.vae, train_images)
    numbers = np.array([model.prompts.index(caption) for caption in captions])
    captioned, place = TrainingData(retain=train_images.relabelled(numbers)), workspace.checkpoint("pretrain")
    train(model, Denoising(settings), captioned, settings, seed, place, on_log, machine=machine)
    return model.to_pipeline()
