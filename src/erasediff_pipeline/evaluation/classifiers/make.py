"""Make the classifier that judges samples, and measure it on unseen images."""

import pandas as pd

from erasediff_pipeline.config import CaptionSettings, ClassifierSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.evaluation.classifiers.classifier import accuracy, train_classifier
from erasediff_pipeline.evaluation.classifiers.pretrained import Judge, load_judge


def make_classifier(
    train_images: LabelledImages,
    images: LabelledImages,
    manifest: pd.DataFrame,
    settings: ClassifierSettings,
    captions: CaptionSettings,
    seed: int,
) -> tuple[Judge, dict[str, float]]:
    """Train the classifier, or take a pretrained one; refuse one that does poorly on the test split."""
    if settings.pretrained is None:
        classifier: Judge = train_classifier(train_images, settings, seed)
    else:
        classifier = load_judge(settings.pretrained, captions)
    unseen = images.select((manifest["split"] == "test").to_numpy())
    reached = accuracy(classifier, unseen)
    if reached < settings.min_test_accuracy:
        remedy = "train longer or wider" if settings.pretrained is None else "look at the images"
        raise UserError(
            f"classifier: accuracy {reached:.4f} on the test split is below "
            f"classifier.min_test_accuracy {settings.min_test_accuracy}: {remedy}"
        )
    return classifier, {"test_accuracy": round(reached, 6), "test_images": len(unseen)}
