import numpy as np
import pytest
import torch

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.evaluation.classifiers.classifier import (
    Classifier,
    accuracy,
    build_classifier,
    class_probabilities,
    train_classifier,
)
from erasediff_pipeline.hashing import hash_weights


def test_it_learns_what_is_easy_and_accuracy_counts_the_right_ones(judge, toy_images):
    """Of 120 labels, 30 are made wrong."""
    assert accuracy(judge, toy_images) == 1
    labels = toy_images.labels.copy()
    labels[:30] = (labels[:30] + 1) % 3
    assert accuracy(judge, LabelledImages(toy_images.images, labels)) == pytest.approx(0.75)


@pytest.mark.parametrize(("seed", "same"), [(0, True), (1, False)])
def test_weights_follow_the_seed(judge, judge_settings, toy_images, seed, same):
    torch.manual_seed(99)
    trained = train_classifier(toy_images, judge_settings, seed)
    assert (hash_weights(trained) == hash_weights(judge)) is same


def test_probabilities_add_up_whatever_the_batch_size(judge, toy_images):
    images, _ = toy_images.tensors()
    whole, parts = (class_probabilities(judge.train(), images, size) for size in (1024, 7))
    assert whole.shape == (120, 3)
    torch.testing.assert_close(whole.sum(dim=1), torch.ones(120))
    torch.testing.assert_close(whole, parts)


def test_features_are_as_wide_as_asked(judge, toy_images):
    images, _ = toy_images.tensors(slice(0, 5))
    features = judge.eval().features(images)
    assert features.shape == (5, 16)
    torch.testing.assert_close(judge.head(features), judge(images))


@pytest.mark.parametrize("size", [(8, 6), (7, 7)])
def test_other_shapes_are_refused(judge_settings, size):
    images = LabelledImages(np.zeros((4, 1, *size), np.uint8), np.arange(4) % 2)
    with pytest.raises(InvalidParameter, match=f"source.side: the images are {size[1]}×{size[0]}"):
        train_classifier(images, judge_settings, seed=0)


def test_a_resnet_takes_an_odd_side(judge_settings):
    settings = judge_settings.model_copy(update={"architecture": "resnet18"})
    resnet = build_classifier(settings, (1, 7, 7), 2).eval()
    assert resnet(torch.zeros(3, 1, 7, 7)).shape == (3, 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_on_a_gpu(judge_settings, toy_images, reload):
    trained = train_classifier(toy_images, judge_settings, seed=0)
    loaded = reload(trained)
    assert {trained.device.type, loaded.device.type} == {"cuda"}
    assert accuracy(loaded, toy_images) == accuracy(trained, toy_images)


def test_saved_and_loaded_is_the_same(judge, reload):
    assert isinstance(reload(judge), Classifier)
