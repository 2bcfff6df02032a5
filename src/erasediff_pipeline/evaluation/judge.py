"""What samples are measured with: a classifier, features, and those of the real images."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

from erasediff_pipeline.config import EvaluationSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.classifiers.classifier import class_probabilities, number_of_none
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.evaluation.features import FeatureExtractor, build_extractor
from erasediff_pipeline.evaluation.kernel import mean_similarity


class Seen(NamedTuple):
    """N samples, as the judge sees them."""

    labels: Tensor
    """``[N]`` int64, the class of each sample's condition."""

    probabilities: Tensor
    """``[N, K]`` of the classifier."""

    features: Tensor
    """``[N, D]`` float64."""

    @property
    def right(self) -> Tensor:
        """``[N]`` bool, whether the classifier assigns the sample to the class of its condition."""
        return self.probabilities.argmax(dim=1) == self.labels

    def select(self, rows: Tensor) -> "Seen":
        """Some of the samples; ``rows`` is ``[N]`` bool."""
        return Seen(*(part[rows] for part in self))


@dataclass(frozen=True)
class Judge:
    """Classifier and features, and those of the retained training images."""

    classifier: AnyClassifier
    extractor: FeatureExtractor
    real: Tensor
    """Features ``[M, D]`` float64 of the retained training images."""

    neighbours: int
    """k of precision and recall."""

    @property
    def none(self) -> int | None:
        """The number of the answer "none of the classes", see ``number_of_none``."""
        return number_of_none(self.classifier)

    @cached_property
    def similarity(self) -> float:
        """Mean kernel of two real images, for KID."""
        return mean_similarity(self.real)

    def look(self, samples: LabelledImages) -> Seen:
        """Classify samples, and extract their features."""
        images, labels = samples.tensors()
        return Seen(labels, class_probabilities(self.classifier, images), self.extractor(images))


def build_judge(classifier: AnyClassifier, real: LabelledImages, settings: EvaluationSettings) -> Judge:
    """Extract the features of the retained training images.

    Args:
        classifier: Assigns samples to classes.
        real: The retained training images.
        settings: Backend, and k of precision and recall.

    Raises:
        InvalidParameter: The classifier has no features for the backend.
        MissingInput: The backend is not installed.
    """
    extractor = build_extractor(settings.fid_backend, classifier)
    return Judge(classifier, extractor, extractor.of(real), settings.precision_neighbours)
