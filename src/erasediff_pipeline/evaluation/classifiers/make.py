"""Make the classifier of samples, and measure it on unseen images."""

import pandas as pd

from erasediff_pipeline.config import CaptionSettings, ClassifierSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.evaluation.classifiers.classifier import accuracy, train_classifier
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier, load_pretrained_classifier


def make_classifier(
    train_images: LabelledImages,
    images: LabelledImages,
    manifest: pd.DataFrame,
    settings: ClassifierSettings,
    captions: CaptionSettings,
    seed: int,
) -> tuple[AnyClassifier, dict[str, float]]:
    """Train the classifier, or load a pretrained one; refuse it if it is inaccurate on the test split.

    Args:
        train_images: Images of the train split.
        images: All images.
        manifest: One row per image; ``split`` is read.
        settings: Architecture and training, or the name of a pretrained classifier.
        captions: Words of the classes; for a pretrained classifier.
        seed: Seed of weights, order and augmentation.

    Returns:
        The classifier; and ``test_accuracy``, a share in [0, 1], with ``test_images``, the number of images.

    Raises:
        UserError: The accuracy on the test split is below ``classifier.min_test_accuracy``.
        InvalidParameter: The classifier does not fit the images or ``captions.words``.
        MissingInput: The package or the weights of a pretrained classifier are missing.
    """
    if settings.pretrained is None:
        classifier: AnyClassifier = train_classifier(train_images, settings, seed)
    else:
        classifier = load_pretrained_classifier(settings.pretrained, captions)
    unseen = images.select((manifest["split"] == "test").to_numpy())
    reached = accuracy(classifier, unseen)
    if reached < settings.min_test_accuracy:
        remedy = "train longer or wider" if settings.pretrained is None else "check the images"
        raise UserError(
            f"classifier: accuracy {reached:.4f} on the test split is below "
            f"classifier.min_test_accuracy {settings.min_test_accuracy}: {remedy}, or lower "
            "classifier.min_test_accuracy"
        )
    return classifier, {"test_accuracy": round(reached, 6), "test_images": len(unseen)}
