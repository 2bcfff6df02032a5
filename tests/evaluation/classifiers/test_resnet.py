import numpy as np
import pytest
import torch
from torchvision.models import ResNet

from erasediff_pipeline.config import ClassifierSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.evaluation.classifiers.accuracy import classify
from erasediff_pipeline.evaluation.classifiers.classifier import train_classifier
from erasediff_pipeline.evaluation.classifiers.resnet import ResNetClassifier

SETTINGS = ClassifierSettings(
    architecture="resnet18", epochs=4, batch_size=20, learning_rate=1e-3, shift=2, mirror=True
)


@pytest.fixture(scope="module")
def stripes():
    """60 images of 16×16 in colour; class k is bright in channel k."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = rng.integers(0, 60, (60, 3, 16, 16), dtype=np.uint8)
    images[np.arange(60), labels] += 150
    return LabelledImages(images, labels)


@pytest.fixture(scope="module")
def resnet(stripes):
    return train_classifier(stripes, SETTINGS, seed=0)


def test_it_is_torchvisions_learns_what_is_easy_and_its_features_are_what_the_head_reads(resnet, stripes):
    assert isinstance(resnet.network, ResNet)
    assert classify(resnet, stripes).accuracy == 1
    images, _ = stripes.tensors(slice(5))
    features = resnet.features(images)
    assert features.shape == (5, 512)
    torch.testing.assert_close(resnet.head(features), resnet(images))


def test_saved_and_loaded_is_the_same(resnet, reload):
    assert isinstance(reload(resnet), ResNetClassifier)


@pytest.mark.parametrize(("side", "first_block"), [(32, 32), (64, 64), (96, 24)])
def test_small_images_keep_their_resolution_at_the_start(side, first_block):
    seen = []
    model = ResNetClassifier(1, side, 2).eval()
    model.network.layer1.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    with torch.no_grad():
        model(torch.zeros(1, 1, side, side, dtype=torch.uint8))
    assert seen == [(1, 64, first_block, first_block)]


@pytest.mark.parametrize(("architecture", "weights"), [("resnet18", 11_173_962), ("resnet34", 21_282_122)])
def test_size_is_that_of_torchvisions(architecture, weights):
    """On images of 32×32 in ten classes."""
    assert sum(p.numel() for p in ResNetClassifier(3, 32, 10, architecture).parameters()) == weights
