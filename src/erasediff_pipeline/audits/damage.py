"""Damage to each retained class: the mean hides the worst."""

import pandas as pd
import torch

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.classifiers.classifier import class_probabilities
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.evaluation.features import FeatureExtractor
from erasediff_pipeline.evaluation.fidelity import fidelity


def measure_damage(
    samples: LabelledImages,
    real: LabelledImages,
    classifier: AnyClassifier,
    extractor: FeatureExtractor,
    neighbours: int,
) -> pd.DataFrame:
    """Measure retain accuracy, FID, precision and recall of each retained class alone.

    Retain accuracy is P(ŷ = c | c), ŷ the class that the classifier assigns; FID: arXiv 1706.08500, equation
    6; precision and recall: arXiv 1904.06991, equation 2.

    Args:
        samples: Drawn under retained conditions; a label is the class of the condition.
        real: Retained training images with their classes.
        classifier: Assigns each sample to a class.
        extractor: Features for FID, precision and recall. FID over the few images of one class is biased
            upwards: compare it only with FID over as many images.
        neighbours: k of precision and recall.

    Returns:
        One row per class: ``label``, ``retain_accuracy``, ``fid``, ``precision``, ``recall``.

    Raises:
        ValueError: A class has no more images than ``neighbours``.
    """
    images, labels = samples.tensors()
    right = (class_probabilities(classifier, images).argmax(dim=1) == labels).double()
    drawn, true = extractor(images), extractor.of(real)
    rows = []
    for label in samples.classes:
        of_class = labels == label
        measured = fidelity(drawn[of_class], true[torch.from_numpy(real.labels == label)], neighbours)
        rows.append({"label": label, "retain_accuracy": float(right[of_class].mean()), **measured})
    return pd.DataFrame(rows)
