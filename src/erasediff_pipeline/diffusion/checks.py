"""Whether a base model fits the data."""

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.text_to_image import TextToImage
from erasediff_pipeline.errors import InvalidParameter, MissingInput


def check_condition(model: DiffusionModel, where: str, captions: CaptionSettings) -> None:
    """Refuse words for a model that is asked by class, and a model that is asked by words without any."""
    by_words = isinstance(model, TextToImage)
    if by_words != bool(captions.words):
        there = f"words for the classes {list(captions.words)}" if captions.words else "no words"
        asked = "words: name them for each class" if by_words else "class: allowed are none"
        raise InvalidParameter(f"captions.words: {there}, and base_model {where} is asked by {asked}")


def check_shape(model: DiffusionModel, where: str, images: LabelledImages) -> None:
    """Refuse a base model that was trained on images of another shape, or on fewer classes."""
    needed = max(images.classes) + 1
    classes = getattr(model, "classes", needed)  # a text-to-image model has no number of them
    if model.image_shape != images.shape or classes < needed:
        raise MissingInput(
            f"base_model: {where} draws {model.image_shape} (C, H, W) of {classes} classes, the images are "
            f"{images.shape} of {needed}: run `dvc pull`, or `kedro run --pipeline=pretrain`, or "
            "mend source.side and source.rgb"
        )
