import copy
from types import SimpleNamespace

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.diffusion.checks import check_condition, check_shape, check_works
from erasediff_pipeline.diffusion.models.stable_diffusion import StableDiffusion
from erasediff_pipeline.diffusion.process import VariancePreserving
from erasediff_pipeline.errors import InvalidParameter, MissingInput


def test_a_base_model_that_fits_is_accepted(unet_model, toy_images):
    check_shape(unet_model(), "base", toy_images)
    check_condition(unet_model(), "base", CaptionSettings())


@pytest.mark.parametrize(
    ("shape", "classes", "said"),
    [
        ((1, 8, 8), [0, 1, 2, 3, 4], r"of 3 classes, the images are \(1, 8, 8\) of 5"),
        ((1, 8, 8), [0, 1, 2, 3], r"base has 4 class embeddings for 4 classes: expected one more, the null"),
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


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_model_that_works_is_accepted(unet_model, text_model, prediction):
    model = unet_model()
    model.process.own.register_to_config(prediction_type=prediction)
    for scheduler in (DDPMScheduler, DDIMScheduler, EulerDiscreteScheduler):
        by(scheduler)(model)
        check_works(model, "base")
    check_works(text_model([]), "base")


def by(scheduler):
    def change(model):
        model.process = VariancePreserving(scheduler.from_config(model.process.own.config))

    return change


def fill(value):
    def change(model):
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(value)

    return change


def fill_part(name, value):
    return lambda model: model.state_dict()[name].fill_(value)


def set_config(part, **values):
    return lambda model: getattr(model, part).register_to_config(**values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (by(EDMEulerScheduler), "scheduler EDMEulerScheduler: expected one that adds noise as DDPM does"),
        (by(FlowMatchEulerDiscreteScheduler), "prediction_type None: expected one of epsilon"),
        (
            lambda model: model.process.own.register_to_config(prediction_type="flow_prediction"),
            "prediction_type 'flow_prediction'",
        ),
        (set_config("unet", sample_size=None), "sample_size: null: write the height"),
        (fill(float("nan")), "is not finite: restore the weights"),
        (fill(float("inf")), "is not finite: restore the weights"),
        (fill(0.0), "predicts the same number everywhere"),
        (fill_part("unet.conv_out.weight", 0.0), "predicts the same number everywhere"),
        (lambda model: model.unet.conv_out.to("meta"), "conv_out.weight is missing from the weights"),
    ],
)
def test_a_model_that_cannot_work_is_refused_in_one_line(unet_model, change, said):
    model = copy.deepcopy(unet_model())
    change(model)
    with pytest.raises(MissingInput) as error:
        check_works(model, "data/base")
    assert error.value.message.startswith("base_model: data/base: ")
    assert said in error.value.message
    assert "\n" not in error.value.message


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("text_encoder", "text_encoder: the same number everywhere"),
        ("vae", "vae: draws one colour"),
        ("unet", "predicts the same number everywhere"),
    ],
)
def test_each_part_of_a_text_to_image_model_is_tried(text_model, part, said):
    model = text_model([])
    fill(0.0)(getattr(model, part))
    with pytest.raises(MissingInput, match=f"^prompts.erased_model: data/esd: {said}"):
        check_works(model, "data/esd", "prompts.erased_model")


def test_parts_of_different_models_are_one_line(text_model):
    model = text_model([])
    model.pipeline.tokenizer.add_tokens(["number"])  # a token that the text encoder has not
    model = StableDiffusion(model.pipeline, ["number"])
    with pytest.raises(MissingInput, match=r"data/base: its parts do not fit: .*: take all from one"):
        check_works(model, "data/base")


def test_a_model_that_has_learnt_nothing_yet_is_accepted(unet_model, text_model):
    """Random weights are not wrong weights: so is a model that was trained for a moment."""
    for seed in range(3):
        check_works(unet_model(seed), "base")
        check_works(text_model([], seed), "base")
