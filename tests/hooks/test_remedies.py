import pytest

from erasediff_pipeline.hooks.remedies import find_remedy
from erasediff_pipeline.parameters import Parameters

PRETRAINED = {"denoiser": {"pretrained": "a/b"}}
TRAIN = "train it with `kedro run --pipeline=pretrain`"


@pytest.mark.parametrize(
    ("environment", "name", "parameters", "said"),
    [
        ("", "base_model", {}, f"run `dvc pull 'the place'`, or {TRAIN}"),
        ("tiny_text_to_image/", "images", {}, "run `make pull-words`, or make it with `kedro run --pipe"),
        ("fashion_mnist/", "base_model", {}, f"run `make fashion-mnist`, or {TRAIN}"),
        ("icons/", "base_model", {}, f"run `make icons`, or {TRAIN}"),
        ("image_folder/", "classifier", {}, TRAIN),
        ("nudity/", "base_model", PRETRAINED, "get it with `kedro run --pipeline=load`"),
        ("", "base_model", {"base": "esd"}, "run the pipeline that writes it, or leave out the parameter b"),
        ("", "signing.model_signature", {}, "run `kedro run --pipeline=sign` first"),
        ("", "esd.curves", PRETRAINED, "run the pipeline that writes it"),
    ],
)
def test_a_remedy_names_a_command(environment, name, parameters, said):
    assert find_remedy(name, "the place", Parameters.model_validate(parameters), environment).startswith(said)
