"""Feature extractors for FID, precision and recall, each with a name and a hash of its weights.

Figures from different extractors cannot be compared, so every figure carries both.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.evaluation.classifiers.backbones import load_backbone
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier, NsfwClassifier
from erasediff_pipeline.hashing import hash_weights


@dataclass(frozen=True)
class FeatureExtractor:
    """Images ``[N, C, H, W]`` uint8 → features ``[N, D]`` float64."""

    name: str
    weights_sha256: str
    extract: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def __call__(self, images: Tensor, batch_size: int = 256) -> Tensor:
        """Features ``[N, D]`` float64 on the CPU, a batch at a time."""
        return torch.cat([self.extract(b).cpu().double() for b in images.split(batch_size)])

    def of(self, data: LabelledImages, batch_size: int = 256) -> Tensor:
        """The same for images on disk, read batch by batch."""
        starts = range(0, len(data), batch_size)
        return torch.cat([self(data.tensors(slice(s, s + batch_size))[0], batch_size) for s in starts])


def classifier_features(classifier: AnyClassifier) -> FeatureExtractor:
    """Use the classifier's penultimate layer.

    Raises:
        InvalidParameter: It is Open-NSFW, which has no features.
    """
    if isinstance(classifier, NsfwClassifier):
        raise InvalidParameter(
            "evaluation.fid_backend: 'classifier': the classifier open_nsfw has no features: use "
            "'efficientnet_lite0'"
        )
    classifier.eval()
    return FeatureExtractor("classifier", hash_weights(classifier), classifier.features)


def efficientnet_features() -> FeatureExtractor:
    """Use EfficientNet-Lite0's 1,280 pooled features.

    Raises:
        MissingInput: The extra ``efficientnet``, which carries the weights, is not installed.
    """
    try:
        backbone = load_backbone("efficientnet_lite0")
    except MissingInput as error:
        raise MissingInput(f"evaluation.fid_backend: {error.message}, or choose 'classifier'") from None
    return FeatureExtractor("efficientnet_lite0", hash_weights(backbone.network), backbone.features)


def build_extractor(backend: str, classifier: AnyClassifier) -> FeatureExtractor:
    """Build the extractor that ``evaluation.fid_backend`` names.

    Raises:
        InvalidParameter: The classifier has no features.
        MissingInput: The extra ``efficientnet`` is not installed.
    """
    return efficientnet_features() if backend == "efficientnet_lite0" else classifier_features(classifier)
