"""With ImageNet's weights: photographs that scikit-image carries."""

import pytest
import torch
from skimage import data
from torchvision.models import resnet50

from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evaluation.classifiers.backbones import CATEGORIES, ResNet50, load_backbone


@pytest.fixture(scope="module")
def photographs():
    """A cat and a cup of coffee, ``[3, H, W]`` uint8 each."""
    return [torch.from_numpy(picture().copy()).permute(2, 0, 1) for picture in (data.chelsea, data.coffee)]


def test_the_names_are_imagenets():
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 1000
    assert (CATEGORIES[0], CATEGORIES[497], CATEGORIES[999]) == ("tench", "church", "toilet tissue")


def test_efficientnet_knows_what_it_sees(photographs):
    backbone = load_backbone("efficientnet_lite0")
    with torch.no_grad():
        seen = [int(backbone.head(backbone.features(image[None])).argmax()) for image in photographs]
    assert CATEGORIES[seen[0]] in {"Egyptian cat", "tabby", "tiger cat"}
    assert CATEGORIES[seen[1]] in {"espresso", "cup", "coffee mug"}


def test_resnet_is_torchvisions(photographs, tmp_path, monkeypatch):
    """Random weights where torch would keep the published ones: theirs are not to be had offline."""
    torch.manual_seed(0)
    theirs = resnet50().eval()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(theirs.state_dict(), tmp_path / "hub/checkpoints" / ResNet50.WEIGHTS.url.rsplit("/", 1)[1])
    ours = load_backbone("resnet50")
    images = photographs[0][None]
    with torch.no_grad():
        features = ours.features(images)
        torch.testing.assert_close(ours.head(features), theirs(ResNet50.WEIGHTS.transforms()(images)))
    assert features.shape == (1, 2048)


def test_weights_that_are_not_to_be_had_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_network(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    with pytest.raises(MissingInput, match=r"resnet50: its weights are not at .*resnet50-.*no route.*choose"):
        load_backbone("resnet50")
