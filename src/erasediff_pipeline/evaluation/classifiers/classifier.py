"""The classifier of samples: a small CNN or a ResNet, trained on the same images."""

from typing import Any, TypeVar

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from erasediff_pipeline.config import ClassifierSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.evaluation.classifiers.negatives import draw_negatives
from erasediff_pipeline.evaluation.classifiers.resnet import ResNetClassifier
from erasediff_pipeline.progress import show_progress
from erasediff_pipeline.seeding import derive_seed, make_generator
from erasediff_pipeline.training.order import batch_rows

M = TypeVar("M", bound=ModelMixin)
ACCEPTED = 0.99
"""Smallest share of held-out real images that a classifier accepts."""


class Classifier(ModelMixin, ConfigMixin):
    """Two convolutions at each of two resolutions, one hidden layer, one linear head.

    A diffusers ``ModelMixin``, so that it is saved as safetensors with its configuration.

    Args:
        in_channels: Channels of the images, 1 or 3.
        side: Height and width of the images, in pixels; even.
        classes: Number of classes.
        channels: Channels of the first two convolutions; the other two have twice as many.
        features: Width of the hidden layer.
        rejects: Whether one more output, the last, means "none of the classes".
    """

    batch_size = 1024
    """Images classified at a time."""

    @register_to_config
    def __init__(
        self,
        in_channels: int = 1,
        side: int = 8,
        classes: int = 10,
        channels: int = 32,
        features: int = 64,
        rejects: bool = False,
    ):
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(in_channels, channels),
            *_convolution(channels, channels),
            nn.MaxPool2d(2),
            *_convolution(channels, 2 * channels),
            *_convolution(2 * channels, 2 * channels),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(2 * channels * (side // 2) ** 2, features),
            nn.ReLU(),
        )
        self.head = nn.Linear(features, classes + rejects)

    def features(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` uint8 → penultimate activations ``[N, features]`` float32."""
        return self.body(images.to(self.device, torch.float32) / 127.5 - 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` uint8 → logits ``[N, classes]``, or one column more, see ``rejects``."""
        return self.head(self.features(images))


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]


def on_accelerator(classifier: M) -> M:
    """Move a classifier to a CUDA GPU, if there is one: a ResNet is most of an evaluation's work."""
    return classifier.to("cuda") if torch.cuda.is_available() else classifier


@torch.no_grad()
def class_probabilities(classifier: Any, images: Tensor, batch_size: int | None = None) -> Tensor:
    """Classify images, batch by batch.

    Args:
        classifier: One of ``AnyClassifier``; it is left in evaluation mode.
        images: ``[N, C, H, W]`` uint8.
        batch_size: Images per batch; by default that of the classifier.

    Returns:
        Probabilities ``[N, classes]`` float32 on the CPU, each row with sum 1. A classifier that rejects has
        one more column, the last, for "none of the classes"; see ``number_of_none``.
    """
    classifier.eval()
    batches = images.split(batch_size or classifier.batch_size)
    return torch.cat([classifier(batch).softmax(dim=1).cpu() for batch in batches])


def number_of_none(classifier: Any) -> int | None:
    """The column of "none of the classes" in its output; None if the classifier cannot reject."""
    return int(classifier.config["classes"]) if classifier.config.get("rejects") else None


@torch.no_grad()
def accept_most(classifier: Classifier | ResNetClassifier, held_out: LabelledImages) -> None:
    """Set the threshold of rejection: at least ``ACCEPTED`` of the held-out images must be accepted.

    An image is rejected if the output for "none" is the highest of all. If that rejects too many, the bias of
    this output is lowered as far as needed: the threshold is saved, hashed and applied with the weights.

    Args:
        classifier: From ``train_classifier``; it changes.
        held_out: Real images that it was not trained on.
    """
    excess = []
    for start in range(0, len(held_out), classifier.batch_size):
        logits = classifier(held_out.tensors(slice(start, start + classifier.batch_size))[0]).cpu()
        excess.append(logits[:, -1] - logits[:, :-1].amax(dim=1))
    highest = float(np.quantile(torch.cat(excess).numpy(), ACCEPTED, method="higher"))
    if highest >= 0:
        classifier.head.bias[-1] -= highest + 1e-3  # a draw would be left to chance


def build_classifier(
    settings: ClassifierSettings, shape: tuple[int, int, int], classes: int
) -> Classifier | ResNetClassifier:
    """Build a classifier with random weights from torch's global generator.

    Args:
        settings: Architecture and widths.
        shape: (C, H, W) of the images.
        classes: Number of classes.

    Raises:
        InvalidParameter: The images are not square, or have an odd side, which the ``cnn`` cannot halve.
    """
    channels, height, width = shape
    odd = settings.architecture == "cnn" and height % 2 == 1
    if height != width or odd:
        raise InvalidParameter(
            f"source.side: the images are {width}×{height}: the classifier needs square ones"
            f"{', with an even side, or classifier.architecture: resnet18' if odd else ''}"
        )
    if settings.architecture == "cnn":
        return Classifier(channels, height, classes, settings.channels, settings.features, rejects=True)
    return ResNetClassifier(channels, height, classes, settings.architecture, rejects=True)


def train_classifier(
    train: LabelledImages, settings: ClassifierSettings, seed: int
) -> Classifier | ResNetClassifier:
    """Train a classifier by cross-entropy, with AdamW and a one-cycle schedule (arXiv 1708.07120).

    Each batch is shifted at random with wrap-around, and half of them are mirrored if ``settings.mirror``.
    Half as many images of no class join it, see ``draw_negatives``; their class is "none of the classes".

    Args:
        train: Images of the train split, with their classes.
        settings: Architecture, epochs, batch size, learning rate and augmentation.
        seed: Seed of weights, order, dropout and augmentation.

    Returns:
        The classifier, in evaluation mode, on a GPU if there is one.

    Raises:
        InvalidParameter: The images do not fit the architecture, see ``build_classifier``.
    """
    torch.manual_seed(derive_seed(seed, "classifier"))
    classes, generator = max(train.classes) + 1, make_generator(seed, "classifier", "negatives")
    classifier = on_accelerator(build_classifier(settings, train.shape, classes))
    classifier.train()
    steps = settings.epochs * len(train) // settings.batch_size
    optimiser = AdamW(classifier.parameters(), lr=settings.learning_rate)
    schedule = OneCycleLR(optimiser, settings.learning_rate, total_steps=steps + 1)
    for step in show_progress(range(steps), "classifier", unit="step"):
        rows = batch_rows(len(train), settings.batch_size, step, seed, "classifier")
        images, labels = train.tensors(rows)
        dy, dx = torch.randint(-settings.shift, settings.shift + 1, (2,)).tolist()
        if settings.mirror and torch.rand(()) < 0.5:
            images = images.flip(3)
        images, half = images.roll((dy, dx), (2, 3)), len(images) // 2
        none = draw_negatives(images[:half], labels[:half], generator)
        labels = torch.cat([labels, torch.full((len(none),), classes)])
        loss = cross_entropy(classifier(torch.cat([images, none])), labels.to(classifier.device))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
    return classifier.eval()
