"""How often a classifier is right on unseen images, and which classes it confuses."""

from collections import Counter
from collections.abc import Mapping
from math import sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from erasediff_pipeline.config import ClassifierSettings
from erasediff_pipeline.data.class_names import name_class, names_of
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evaluation.classifiers.classifier import class_probabilities, number_of_none
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier, ImageNetClassifier
from erasediff_pipeline.seeding import make_generator

RELIABLE = 0.9
"""A classifier below this accuracy is used with a warning: no figure of it can be trusted beyond its own."""
ABOVE_CHANCE = 0.25
"""Where no accuracy is set, the share of the way from chance to 1 that a classifier must go."""
TRIED = 400
"""Unseen images, at most, that a classifier from disk is tried on."""
CONFUSIONS = 3
"""Pairs of classes, at most, that a message names."""


class Answers(NamedTuple):
    """What a classifier says of N images."""

    labels: Tensor
    """``[N]`` int64, their classes."""

    predicted: Tensor
    """``[N]`` int64, what it takes them for."""

    none: int | None
    """What it says of an image of no class, see ``number_of_none``."""

    @property
    def accuracy(self) -> float:
        """Share of the images that it assigns to their own class; a rejected image is wrong."""
        return int((self.predicted == self.labels).sum()) / len(self.labels)

    def confusions(self, names: Mapping[int, str]) -> str:
        """Name the pairs of classes that it confuses most; empty if it is always right."""
        wrong = self.predicted != self.labels
        pairs = Counter(zip(self.labels[wrong].tolist(), self.predicted[wrong].tolist(), strict=True))
        return ", ".join(
            f"{name_class(label, names)} as "
            f"{'none of the classes' if said == self.none else name_class(said, names)} "
            f"({count} of {int((self.labels == label).sum())})"
            for (label, said), count in pairs.most_common(CONFUSIONS)
        )


def classify(classifier: AnyClassifier, data: LabelledImages) -> Answers:
    """Classify images, read batch by batch."""
    size = classifier.batch_size
    batches = (data.tensors(slice(start, start + size))[0] for start in range(0, len(data), size))
    predicted = [class_probabilities(classifier, images).argmax(dim=1) for images in batches]
    return Answers(torch.from_numpy(np.array(data.labels)), torch.cat(predicted), number_of_none(classifier))


def unseen_images(images: LabelledImages, manifest: pd.DataFrame) -> LabelledImages:
    """The images of the test split."""
    return images.select((manifest["split"] == "test").to_numpy())


def measure_accuracy(
    classifier: AnyClassifier, images: LabelledImages, manifest: pd.DataFrame
) -> dict[str, float | int]:
    """Measure a classifier on the unseen images, for ``metrics.json``.

    Returns:
        ``classifier_accuracy``, a share in [0, 1], and ``classifier_images``, the number of images; nothing
        if there are none.
    """
    unseen = unseen_images(images, manifest)
    if not len(unseen):
        return {}
    answers = classify(classifier, unseen)
    return {"classifier_accuracy": round(answers.accuracy, 6), "classifier_images": len(answers.labels)}


def lowest_accuracy(settings: ClassifierSettings, labels: np.ndarray) -> float:
    """The accuracy that a classifier must reach on images of these classes, ``[N]`` int64.

    Returns:
        ``min_test_accuracy``; if that is null, ``ABOVE_CHANCE`` of the way from chance, the share of the
        largest class, to 1.
    """
    if settings.min_test_accuracy is not None:
        return settings.min_test_accuracy
    chance = float(np.bincount(labels).max()) / len(labels)
    return chance + ABOVE_CHANCE * (1 - chance)


def check_judge(
    classifier: AnyClassifier,
    where: str,
    images: LabelledImages,
    manifest: pd.DataFrame,
    settings: ClassifierSettings,
    seed: int,
) -> None:
    """Refuse a classifier from disk that was made for other images, or that does not know these.

    Args:
        classifier: The classifier.
        where: Its place, for the message.
        images: All images.
        manifest: One row per image.
        settings: The accuracy that it must reach on unseen images, up to ``TRIED`` of them; it may miss it
            by three standard errors, since these may be other images than those that it was held to.
        seed: Seed of the choice.

    Raises:
        MissingInput: Names both shapes or numbers of classes, or the accuracy.
    """
    remedy = "make it again with `kedro run --pipeline=judge`"
    config, needed = classifier.config, max(images.classes) + 1
    pretrained = "in_channels" not in config  # it takes images of any size, and may know more classes
    shape = images.shape if pretrained else (config["in_channels"], config["side"], config["side"])
    classes = len(config["first"]) if isinstance(classifier, ImageNetClassifier) else config["classes"]
    if shape != images.shape or classes < needed or (classes > needed and not pretrained):
        raise MissingInput(
            f"classifier: {where} is for {shape} (C, H, W) of {classes} classes, the images are "
            f"{images.shape} of {needed}: {remedy}"
        )
    unseen = unseen_images(images, manifest)
    if not len(unseen):
        return
    generator = make_generator(seed, "classifier", "tried")
    chosen = torch.randperm(len(unseen), generator=generator)[:TRIED].numpy()
    answers, limit = classify(classifier, unseen.select(chosen)), lowest_accuracy(settings, unseen.labels)
    error = sqrt(limit * (1 - limit) / len(chosen))
    if answers.accuracy < limit - 3 * error:
        raise MissingInput(
            f"classifier: {where}: accuracy {answers.accuracy:.4f} on {len(chosen)} unseen images is below "
            f"{describe_limit(settings, limit)}: {remedy}, or lower classifier.min_test_accuracy; it takes "
            f"{answers.confusions(names_of(manifest))}"
        )


def describe_limit(settings: ClassifierSettings, limit: float) -> str:
    """Say where ``lowest_accuracy`` comes from."""
    if settings.min_test_accuracy is not None:
        return f"classifier.min_test_accuracy {settings.min_test_accuracy}"
    return f"{limit:.4f}, the least that is clearly better than chance"
