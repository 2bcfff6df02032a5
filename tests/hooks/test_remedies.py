import pytest

from erasediff_pipeline import paths
from erasediff_pipeline.hooks.remedies import find_remedy
from erasediff_pipeline.parameters import Parameters


@pytest.mark.parametrize(
    ("environment", "name", "parameters", "said"),
    [
        ("", "base_model", {}, "run `dvc pull`, or train it with `kedro run --pipeline=pretrain`"),
        (
            "",
            "base_model",
            {"base": "esd"},
            "run the pipeline that writes it, or leave out the parameter base",
        ),
        (
            "tiny_text_to_image/",
            "images",
            {},
            "run `make pull-words`, or make it with `kedro run --env=tiny_text_to_image --pipeline=prepare`",
        ),
        (
            "fashion_mnist/",
            "base_model",
            {},
            "run `make fashion-mnist`, or train it with `kedro run --env=fashion_mnist --pipeline=pretrain`",
        ),
        (
            "image_folder/",
            "classifier",
            {},
            "train it with `kedro run --env=image_folder --pipeline=pretrain`",
        ),
        (
            "nudity/",
            "base_model",
            {"denoiser": {"pretrained": "a/b"}},
            "get it with `kedro run --env=nudity --pipeline=load`",
        ),
        ("", "signing.model_signature", {}, "run `kedro run --pipeline=sign` first"),
        ("", "esd.curves", {}, "run the pipeline that writes it"),
    ],
)
def test_a_remedy_is_a_command(monkeypatch, environment, name, parameters, said):
    monkeypatch.setattr(paths, "environment", environment)
    assert find_remedy(name, Parameters.model_validate(parameters)) == said
