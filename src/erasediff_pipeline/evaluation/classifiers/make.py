"""Make the classifier of samples, and measure it on unseen images."""

import logging
from typing import Any

import pandas as pd
import torch

from erasediff_pipeline.config import CaptionSettings, ClassifierSettings
from erasediff_pipeline.data.class_names import names_of
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.evaluation.classifiers.accuracy import (
    RELIABLE,
    classify,
    describe_limit,
    lowest_accuracy,
    unseen_images,
)
from erasediff_pipeline.evaluation.classifiers.classifier import (
    accept_most,
    class_probabilities,
    number_of_none,
    train_classifier,
)
from erasediff_pipeline.evaluation.classifiers.negatives import CONTROLS, KINDS, draw_kind
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier, load_pretrained_classifier
from erasediff_pipeline.seeding import make_generator

logger = logging.getLogger(__name__)
MEASURED = 1000
"""Test images, at most, of which images of no class are made to measure what is rejected."""


def make_classifier(
    train_images: LabelledImages,
    images: LabelledImages,
    manifest: pd.DataFrame,
    settings: ClassifierSettings,
    captions: CaptionSettings,
    seed: int,
) -> tuple[AnyClassifier, dict[str, Any]]:
    """Train the classifier, or load a pretrained one; refuse it if it is inaccurate on the test split.

    One that is accepted, but below ``RELIABLE``, is named in a warning.

    Args:
        train_images: Images of the train split.
        images: All images.
        manifest: One row per image; ``split`` is read, and ``class`` for messages.
        settings: Architecture and training, or the name of a pretrained classifier.
        captions: Words of the classes; for a pretrained classifier.
        seed: Seed of weights, order and augmentation.

    Returns:
        The classifier; and ``test_accuracy``, a share in [0, 1], with ``test_images``, the number of images;
        ``rejected``, see ``measure_rejected``, is None for a pretrained classifier.

    Raises:
        UserError: The accuracy on the test split is below ``lowest_accuracy``.
        InvalidParameter: The classifier does not fit the images or ``captions.words``.
        MissingInput: The package or the weights of a pretrained classifier are missing.
    """
    unseen = unseen_images(images, manifest)
    if settings.pretrained is None:
        trained = train_classifier(train_images, settings, seed)
        # The threshold is one number of the whole test split; a share of the train split would be too small
        # for it, and missed in the training.
        accept_most(trained, unseen)
        classifier: AnyClassifier = trained
    else:
        classifier = load_pretrained_classifier(settings.pretrained, captions)
    answers, limit = classify(classifier, unseen), lowest_accuracy(settings, unseen.labels)
    reached, confused = answers.accuracy, answers.confusions(names_of(manifest))
    if reached < limit:
        remedy = "train longer or wider" if settings.pretrained is None else "check the images"
        raise UserError(
            f"classifier: accuracy {reached:.4f} on the test split is below "
            f"{describe_limit(settings, limit)}: {remedy}, or lower classifier.min_test_accuracy; it takes "
            f"{confused}"
        )
    if reached < RELIABLE:
        logger.warning(
            "the classifier is right for only %.1f %% of %d unseen images: no accuracy that it measures can "
            "be trusted above that; it takes %s",
            *(100 * reached, len(unseen), confused),
        )
    return classifier, {
        "test_accuracy": round(reached, 6),
        "test_images": len(unseen),
        "rejected": measure_rejected(classifier, unseen, seed),
    }


def measure_rejected(classifier: AnyClassifier, unseen: LabelledImages, seed: int) -> dict[str, float] | None:
    """Measure what a classifier rejects as "none of the classes"; None if it cannot reject.

    Args:
        classifier: The classifier.
        unseen: Real images that it was not trained on; up to ``MEASURED`` of them are used, chosen at random.
        seed: Seed of the choice, and of the images made of them.

    Returns:
        Shares in [0, 1]: of the ``test_images`` themselves, of each kind that it was trained to reject
        (``KINDS``), and of each that it was not (``CONTROLS``).
    """
    none, generator = number_of_none(classifier), make_generator(seed, "classifier", "rejected")
    if none is None:
        return None
    chosen = torch.randperm(len(unseen), generator=generator)[:MEASURED].numpy()
    images, labels = unseen.tensors(chosen)

    def rejected(drawn: torch.Tensor) -> float:
        return round(float((class_probabilities(classifier, drawn).argmax(1) == none).double().mean()), 6)

    made = {kind: draw_kind(kind, images, labels, generator) for kind in (*KINDS, *CONTROLS)}
    return {"test_images": rejected(images)} | {kind: rejected(drawn) for kind, drawn in made.items()}
