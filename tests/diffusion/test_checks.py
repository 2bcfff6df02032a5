from types import SimpleNamespace

import pytest

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.diffusion.checks import check_condition, check_shape
from erasediff_pipeline.errors import InvalidParameter, MissingInput


def test_a_base_model_that_fits_is_accepted(unet_model, toy_images):
    check_shape(unet_model(), "base", toy_images)
    check_condition(unet_model(), "base", CaptionSettings())


@pytest.mark.parametrize(
    ("shape", "classes", "said"),
    [
        ((1, 8, 8), [0, 1, 2, 3], r"of 3 classes, the images are \(1, 8, 8\) of 4"),
        ((3, 32, 32), [0, 1], r"draws \(1, 8, 8\).*the images are \(3, 32, 32\)"),
    ],
)
def test_a_base_model_of_other_images_is_refused(unet_model, shape, classes, said):
    with pytest.raises(MissingInput, match=said):
        check_shape(unet_model(), "base", SimpleNamespace(shape=shape, classes=classes))


def test_words_and_the_condition_of_the_model_must_fit(unet_model, text_model):
    words = CaptionSettings(words={0: ["cat"], 1: ["dog"]}, templates=["{}"])
    said = r"words for the classes \[0, 1\], but .* base is class-conditional: remove"
    with pytest.raises(InvalidParameter, match=said):
        check_condition(unet_model(), "base", words)
    with pytest.raises(InvalidParameter, match=r"classes \[\], but .* is a text-to-image model: name words"):
        check_condition(text_model(["a cat"]), "base", CaptionSettings())
