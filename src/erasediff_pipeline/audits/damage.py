"""What the rest has suffered, class by class: the mean hides the worst."""

import pandas as pd
import torch

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.classifiers.classifier import class_probabilities
from erasediff_pipeline.evaluation.classifiers.pretrained import Judge
from erasediff_pipeline.evaluation.features import FeatureExtractor
from erasediff_pipeline.evaluation.fidelity import fidelity


def measure_damage(
    samples: LabelledImages,
    real: LabelledImages,
    judge: Judge,
    extractor: FeatureExtractor,
    neighbours: int,
) -> pd.DataFrame:
    """Retain accuracy, FID, precision and recall of each retained class alone.

    Retain accuracy is P(ŷ = c | c), ŷ what the judge takes a sample for; FID: arXiv 1706.08500, equation 6;
    precision and recall: arXiv 1904.06991, equation 2.

    Args:
        samples: Drawn under retained conditions; a label is the class asked for.
        real: Retained training images, under their classes.
        judge: Says what each sample shows.
        extractor: Features of the other three; over the few images of one class FID is biased upwards, and
            compares with figures of as many images only.
        neighbours: k of precision and recall.

    Returns:
        A row a class: ``label``, ``retain_accuracy``, ``fid``, ``precision``, ``recall``.
    """
    images, labels = samples.tensors()
    right = (class_probabilities(judge, images).argmax(dim=1) == labels).double()
    drawn, true = extractor(images), extractor.of(real)
    rows = []
    for label in samples.classes:
        of_class = labels == label
        measured = fidelity(drawn[of_class], true[torch.from_numpy(real.labels == label)], neighbours)
        rows.append({"label": label, "retain_accuracy": float(right[of_class].mean()), **measured})
    return pd.DataFrame(rows)
