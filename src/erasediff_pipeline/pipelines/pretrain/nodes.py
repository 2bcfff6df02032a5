"""Nodes of ``pretrain``."""

import pandas as pd

from erasediff_pipeline.config import DenoiserSettings, MachineSettings, PretrainSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.split import hash_train_set
from erasediff_pipeline.diffusion.checks import check_works
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import wrap
from erasediff_pipeline.diffusion.pretrained import check_named, load_pretrained
from erasediff_pipeline.training.loop import OnLog
from erasediff_pipeline.training.pretraining import pretrain
from erasediff_pipeline.workspace import Workspace


def select_train(images: LabelledImages, manifest: pd.DataFrame) -> LabelledImages:
    """Select the images of the train split."""
    return images.select((manifest["split"] == "train").to_numpy())


def load_base_model(denoiser: DenoiserSettings) -> ModelWithHistory:
    """Load the model that ``denoiser.pretrained`` names, if it works: it replaces the base model."""
    check_named(denoiser)
    loaded = load_pretrained(str(denoiser.pretrained), denoiser.revision)
    check_works(wrap(loaded.pipeline), str(denoiser.pretrained))
    return loaded


def train_base_model(
    train_images: LabelledImages,
    manifest: pd.DataFrame,
    denoiser: DenoiserSettings,
    settings: PretrainSettings,
    seed: int,
    machine: MachineSettings,
    workspace: Workspace,
    on_log: OnLog,
) -> ModelWithHistory:
    """Train the base model, or load it if ``denoiser.pretrained`` names one."""
    if denoiser.pretrained is not None:
        return load_base_model(denoiser)
    trained = pretrain(train_images, manifest, denoiser, settings, seed, machine, workspace, on_log)
    return ModelWithHistory(trained, trained_on=hash_train_set(manifest))
