"""Whether a base model fits the data."""

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.text_to_image import TextToImage
from erasediff_pipeline.errors import InvalidParameter, MissingInput


def check_condition(model: DiffusionModel, where: str, captions: CaptionSettings) -> None:
    """Refuse words for a class-conditional model, and a text-to-image model without words.

    Args:
        model: The base model.
        where: Its place, for the message.
        captions: Words of the classes.

    Raises:
        InvalidParameter: Model and ``captions.words`` do not fit.
    """
    by_words = isinstance(model, TextToImage)
    if by_words != bool(captions.words):
        kind = "a text-to-image model: name words" if by_words else "class-conditional: remove the words"
        raise InvalidParameter(
            f"captions.words: words for the classes {list(captions.words)}, but base_model {where} is {kind}"
        )


def check_shape(model: DiffusionModel, where: str, images: LabelledImages) -> None:
    """Refuse a base model that was trained on images of another shape, or on fewer classes.

    Args:
        model: The base model.
        where: Its place, for the message.
        images: All images.

    Raises:
        MissingInput: Names both shapes and numbers of classes.
    """
    expected = max(images.classes) + 1
    classes = getattr(model, "classes", expected)  # a text-to-image model has no fixed number of classes
    if model.image_shape != images.shape or classes < expected:
        raise MissingInput(
            f"base_model: {where} draws {model.image_shape} (C, H, W) of {classes} classes, the images are "
            f"{images.shape} of {expected}: run `dvc pull`, or `kedro run --pipeline=pretrain`, or "
            "fix source.side and source.rgb"
        )
