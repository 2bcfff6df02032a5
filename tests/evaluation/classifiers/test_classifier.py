import copy
import json

import numpy as np
import pytest
import torch

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.evaluation.classifiers.accuracy import classify
from erasediff_pipeline.evaluation.classifiers.classifier import (
    Classifier,
    accept_most,
    build_classifier,
    class_probabilities,
    number_of_none,
    train_classifier,
)
from erasediff_pipeline.hashing import hash_weights


def test_it_learns_what_is_easy_and_accuracy_counts_the_right_ones(judge, toy_images):
    """Of 120 labels, 30 are made wrong."""
    assert classify(judge, toy_images).accuracy == 1
    labels = toy_images.labels.copy()
    labels[:30] = (labels[:30] + 1) % 3
    assert classify(judge, toy_images.relabelled(labels)).accuracy == pytest.approx(0.75)


@pytest.mark.parametrize(("seed", "same"), [(0, True), (1, False)])
def test_weights_follow_the_seed(judge, judge_settings, toy_images, seed, same):
    torch.manual_seed(99)
    trained = train_classifier(toy_images, judge_settings, seed)
    assert (hash_weights(trained) == hash_weights(judge)) is same


def test_probabilities_add_up_whatever_the_batch_size(judge, toy_images):
    images, _ = toy_images.tensors()
    whole, parts = (class_probabilities(judge.train(), images, size) for size in (1024, 7))
    assert whole.shape == (120, 4)
    torch.testing.assert_close(whole.sum(dim=1), torch.ones(120))
    torch.testing.assert_close(whole, parts)


def test_noise_is_none_of_the_classes(judge):
    """Also a kind that it was not trained with; before it could reject, it called all of it a class."""
    generator = torch.Generator().manual_seed(5)
    uniform = 255 * torch.rand((100, 1, 8, 8), generator=generator)
    normal = 128 + 100 * torch.randn((100, 1, 8, 8), generator=generator)
    for noise in (uniform, normal.clamp(0, 255)):
        predicted = class_probabilities(judge, noise.to(torch.uint8)).argmax(dim=1)
        assert (predicted == number_of_none(judge)).double().mean() >= 0.95


@pytest.mark.parametrize(("raised", "accepted"), [(100, (0.99, 1)), (-100, (1, 1))])
def test_the_threshold_accepts_most_of_the_held_out_images(judge, toy_images, raised, accepted):
    """One of 120 may be rejected, and where none is, the threshold stays as it is."""
    strict = copy.deepcopy(judge)
    strict.head.bias.data[-1] += raised
    before = strict.head.bias.clone()
    accept_most(strict, toy_images)
    assert accepted[0] <= classify(strict, toy_images).accuracy <= accepted[1]
    assert torch.equal(strict.head.bias, before) == (raised < 0)
    assert strict.head.bias[-1] > judge.head.bias[-1] or raised < 0


def test_a_classifier_of_before_it_could_reject_is_loaded(tmp_path):
    Classifier(channels=8, features=16).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["rejects"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    old = Classifier.from_pretrained(tmp_path)
    assert number_of_none(old) is None
    assert class_probabilities(old, torch.zeros(2, 1, 8, 8)).shape == (2, 10)


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
    assert resnet(torch.zeros(3, 1, 7, 7)).shape == (3, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_on_a_gpu(judge_settings, toy_images, reload):
    trained = train_classifier(toy_images, judge_settings, seed=0)
    loaded = reload(trained)
    assert {trained.device.type, loaded.device.type} == {"cuda"}
    assert classify(loaded, toy_images).accuracy == classify(trained, toy_images).accuracy


def test_saved_and_loaded_is_the_same(judge, reload):
    assert isinstance(reload(judge), Classifier)
