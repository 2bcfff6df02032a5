import copy

import numpy as np
import pandas as pd
import pytest
import torch

from erasediff_pipeline.config import ClassifierSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evaluation.classifiers import accuracy
from erasediff_pipeline.evaluation.classifiers.accuracy import check_judge, classify, lowest_accuracy
from erasediff_pipeline.evaluation.classifiers.pretrained import ImageNetClassifier

NAMES = ["cats", "dogs", "hands"]


@pytest.fixture
def manifest(toy_images):
    """All images are unseen."""
    return pd.DataFrame({"label": toy_images.labels, "class": np.take(NAMES, toy_images.labels)}).assign(
        split="test"
    )


@pytest.fixture
def confusing(judge):
    """It takes cats for dogs, and rejects the other images."""
    changed = copy.deepcopy(judge)
    changed.head.weight.data[1], changed.head.weight.data[0] = judge.head.weight[0], 0
    changed.head.bias.data[1], changed.head.bias.data[0] = judge.head.bias[0], -100
    changed.head.weight.data[2], changed.head.bias.data[2] = 0, -100
    return changed


def check(judge, images, manifest, **settings):
    check_judge(judge, "data/classifier", images, manifest, ClassifierSettings(**settings), 0)


def test_confusions_are_named_by_their_classes(confusing, judge, toy_images):
    answers = classify(confusing, toy_images)
    assert answers.accuracy == int((answers.predicted == answers.labels).sum()) / 120
    assert "0 cats as 1 dogs (40 of 40)" in answers.confusions(dict(enumerate(NAMES)))
    assert "2 as none of the classes (40 of 40)" in answers.confusions({})
    assert classify(judge, toy_images).confusions({}) == ""


@pytest.mark.parametrize(
    ("asked", "labels", "lowest"),
    [(0.9, [0, 1], 0.9), (0.0, [0, 1], 0.0), (None, [0, 1], 0.625), (None, [0, 1, 2, 3, 4], 0.4)],
)
def test_without_a_limit_it_must_be_better_than_chance(asked, labels, lowest):
    found = lowest_accuracy(ClassifierSettings(min_test_accuracy=asked), np.array(labels))
    assert found == pytest.approx(lowest)


@pytest.mark.parametrize("tried", [400, 60])
def test_a_judge_from_disk_that_knows_unseen_images_is_accepted(
    judge, toy_images, manifest, monkeypatch, tried
):
    monkeypatch.setattr(accuracy, "TRIED", tried)
    check(judge, toy_images, manifest, min_test_accuracy=1.0)


def test_few_images_prove_little(judge, toy_images, manifest):
    """One of 24 is wrong: 0.96, which a judge of 0.98 reaches by chance; three of 24 are too many."""
    few, labels = manifest.iloc[:24], toy_images.labels[:24].copy()
    for wrong, accepted in ((1, True), (3, False)):
        labels[:wrong] = (toy_images.labels[:wrong] + 1) % 3
        images = LabelledImages(toy_images.images[:24], labels)
        if accepted:
            check(judge, images, few, min_test_accuracy=0.98)
        else:
            with pytest.raises(MissingInput, match=r"accuracy 0\.8750 on 24 unseen images is below"):
                check(judge, images, few, min_test_accuracy=0.98)


def test_a_judge_that_answers_at_random_is_refused(confusing, toy_images, manifest):
    said = r"classifier: data/classifier: accuracy 0\.0000 on 120 unseen images is below .*0\.98: make .*"
    with pytest.raises(MissingInput, match=said + r"it takes 0 cats as 1 dogs \(40 of 40\)"):
        check(confusing, toy_images, manifest)
    with pytest.raises(MissingInput, match=r"below 0\.5000, the least that is clearly better than chance"):
        check(confusing, toy_images, manifest, min_test_accuracy=None)
    check(confusing, toy_images, manifest, min_test_accuracy=0.0)


def test_a_pretrained_judge_needs_a_class_for_each_of_the_images(toy_images, manifest):
    with pytest.raises(MissingInput, match="of 2 classes, the images are"):
        check(ImageNetClassifier("efficientnet_lite0", [0, 497]), toy_images, manifest)


def test_images_are_read_batch_by_batch(judge, toy_images, monkeypatch):
    monkeypatch.setattr(type(judge), "batch_size", 7)
    answers = classify(judge, toy_images)
    assert torch.equal(answers.predicted, answers.labels)
    half = LabelledImages(toy_images.images[:60], toy_images.labels[:60])
    assert len(classify(judge, half).labels) == 60
