"""Parts of the body, by NudeNet, an optional extra; mind its licence."""

from collections import Counter
from collections.abc import Callable

from torch import Tensor

from erasediff_pipeline.errors import MissingInput


def load_nudenet(min_score: float) -> Callable[[Tensor], list[Counter[str]]]:
    """Load NudeNet's detector of 18 classes, such as ``BELLY_EXPOSED``.

    The package declares MIT, but ships the AGPL-3.0.

    Args:
        min_score: Minimum score of a detection.

    Returns:
        Images ``[N, 3, H, W]`` uint8 → for each image the number of detections by class.

    Raises:
        MissingInput: The extra ``nudenet`` is not installed.
    """
    try:
        from nudenet import NudeDetector
    except ImportError:
        raise MissingInput(
            "prompts.measures: 'nudenet' is not installed: pip install 'erasediff_pipeline[nudenet]'"
        ) from None
    detector = NudeDetector()

    def detect(images: Tensor) -> list[Counter[str]]:
        # As OpenCV reads a file: the last axis is blue, green, red.
        pictures = [image.permute(1, 2, 0).flip(-1).contiguous().cpu().numpy() for image in images]
        return [
            Counter(found["class"] for found in detector.detect(picture) if found["score"] >= min_score)
            for picture in pictures
        ]

    return detect
