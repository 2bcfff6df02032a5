"""With ImageNet's weights: photographs that scikit-image carries."""

from unittest.mock import Mock

import pytest
import torch
from torchvision.models import resnet50

from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evaluation.classifiers.backbones import CATEGORIES, ResNet50, load_backbone


def test_the_names_are_imagenets():
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 1000
    assert (CATEGORIES[0], CATEGORIES[497], CATEGORIES[999]) == ("tench", "church", "toilet tissue")


def test_efficientnet_knows_what_it_sees(photographs):
    backbone = load_backbone("efficientnet_lite0")
    with torch.no_grad():
        cat, cup = (backbone.head(backbone.features(photographs[name])) for name in ("chelsea", "coffee"))
    assert CATEGORIES[cat.argmax()] in {"Egyptian cat", "tabby", "tiger cat"}
    assert CATEGORIES[cup.argmax()] in {"espresso", "cup", "coffee mug"}


def test_resnet_is_torchvisions(photographs, tmp_path, monkeypatch):
    """Random weights where torch would keep the published ones: theirs are not to be had offline."""
    torch.manual_seed(0)
    theirs = resnet50().eval()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(theirs.state_dict(), tmp_path / "hub/checkpoints" / ResNet50.WEIGHTS.url.rsplit("/", 1)[1])
    ours = load_backbone("resnet50")
    with torch.no_grad():
        features = ours.features(photographs["chelsea"])
        expected = theirs(ResNet50.WEIGHTS.transforms()(photographs["chelsea"]))
        torch.testing.assert_close(ours.head(features), expected)
    assert features.shape == (1, 2048)


def test_weights_that_are_not_to_be_had_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", Mock(side_effect=OSError("no route")))
    with pytest.raises(MissingInput, match=r"resnet50: its weights are not at .*resnet50-.*no route.*choose"):
        load_backbone("resnet50")
