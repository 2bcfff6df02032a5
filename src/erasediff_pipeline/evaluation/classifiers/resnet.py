"""The classifier for images of 32×32 and larger: torchvision's ResNet."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torchvision.models import resnet18, resnet34

RESNETS = {"resnet18": resnet18, "resnet34": resnet34}
SMALL = 64
"""Up to this side an image keeps its resolution at the start, as in arXiv 1512.03385, section 4.2."""


class ResNetClassifier(ModelMixin, ConfigMixin):
    """torchvision's ResNet, trained from scratch; saved as safetensors with its configuration.

    On images up to 64×64 the first convolution is 3×3 without stride, and no pooling follows. ImageNet's
    first layers would reduce 32×32 pixels to 8×8 before the first block.

    Args:
        in_channels: 1 or 3.
        side: Height and width of the images, in pixels.
        classes: Number of classes.
        architecture: A key of ``RESNETS``.
        rejects: Whether one more output, the last, means "none of the classes".
    """

    batch_size = 256
    """Images classified at a time."""

    @register_to_config
    def __init__(
        self,
        in_channels: int,
        side: int,
        classes: int,
        architecture: str = "resnet18",
        rejects: bool = False,
    ):
        super().__init__()
        self.network = RESNETS[architecture](num_classes=classes + rejects)
        if side <= SMALL:
            self.network.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
            self.network.maxpool = nn.Identity()
        else:
            self.network.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.head = self.network.fc
        self.network.fc = nn.Identity()

    def features(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` uint8 → pooled features ``[N, 512]`` float32."""
        return self.network(images.to(self.device, torch.float32) / 127.5 - 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` uint8 → logits ``[N, classes]``, or one column more, see ``rejects``."""
        return self.head(self.features(images))
