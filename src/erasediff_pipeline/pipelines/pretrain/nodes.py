"""Nodes of ``pretrain``."""

import pandas as pd
import torch
from diffusers import DDPMPipeline

from erasediff_pipeline.config import ClassifierSettings, DenoiserSettings, PretrainSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import build_class_conditional
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.evaluation.classifier import Classifier, accuracy, train_classifier
from erasediff_pipeline.paths import checkpoint_path
from erasediff_pipeline.seeding import derive_seed
from erasediff_pipeline.tracking.scalars import log_scalars
from erasediff_pipeline.unlearning.denoising import Denoising
from erasediff_pipeline.unlearning.loop import train
from erasediff_pipeline.unlearning.method import TrainingData


def select_train(images: LabelledImages, manifest: pd.DataFrame) -> LabelledImages:
    """The images that models may be trained on."""
    return images.select((manifest["split"] == "train").to_numpy())


def train_base_model(
    train_images: LabelledImages, denoiser: DenoiserSettings, settings: PretrainSettings, seed: int
) -> DDPMPipeline:
    """Train the base model; what is kept is the running mean of its weights."""
    torch.manual_seed(derive_seed(seed, "base model"))
    classes = max(train_images.classes) + 1
    model = build_class_conditional(denoiser, train_images.shape, classes)
    data = TrainingData(retain=train_images)
    train(model, Denoising(settings), data, settings, seed, checkpoint_path("pretrain"), log_scalars)
    return model.to_pipeline()


def train_judge(
    train_images: LabelledImages,
    images: LabelledImages,
    manifest: pd.DataFrame,
    settings: ClassifierSettings,
    seed: int,
) -> tuple[Classifier, dict[str, float]]:
    """Train the judge, and refuse one that the test split shows to be poor."""
    classifier = train_classifier(train_images, settings, seed)
    unseen = images.select((manifest["split"] == "test").to_numpy())
    reached = accuracy(classifier, unseen)
    if reached < settings.min_test_accuracy:
        raise UserError(
            f"classifier: accuracy {reached:.4f} on the test split is below "
            f"classifier.min_test_accuracy {settings.min_test_accuracy}: train longer or wider"
        )
    return classifier, {"test_accuracy": round(reached, 6), "test_images": len(unseen)}
