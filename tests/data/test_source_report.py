import logging
from collections import Counter

import numpy as np
import pytest

from erasediff_pipeline.config import CaptionSettings, SourceSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.manifest import describe_images
from erasediff_pipeline.data.source import Found
from erasediff_pipeline.data.source_report import report_source
from erasediff_pipeline.errors import InvalidParameter

SETTINGS = SourceSettings(name="image_folder", path="images", side=8)


@pytest.fixture
def found():
    sizes = Counter({"12×8": 20, "8×8": 100})
    return Found(["cats", "dogs", "owls"], sizes=sizes, skipped={"cats/c.png": "broken"})


def test_what_was_found_is_reported(toy_images, found, caplog):
    manifest = describe_images(toy_images, found, SETTINGS, CaptionSettings(), 0)
    with caplog.at_level(logging.INFO):
        report = report_source(toy_images, manifest, found, SETTINGS)
    counts = {"test": 8, "train": 32}
    assert report == {
        "source": "image_folder",
        "images": 120,
        "shape": [1, 8, 8],
        "constant": 0,
        "copies": 0,
        "sizes": {"8×8": 100, "12×8": 20},
        "classes": [{"label": n, "name": name, **counts} for n, name in enumerate(found.names)],
        "skipped": {"cats/c.png": "broken"},
    }
    assert "class 1 is 'dogs': 32 images to train on, 8 unseen" in caplog.messages
    assert caplog.messages[-1] == "1 files were skipped; source.json lists them"


@pytest.mark.parametrize(
    ("most", "constant", "copies", "said"),
    [
        ("black", 70, 69, ["70 of 120 images have a single colour", "69 of 120 images are copies of others"]),
        ("grey", 70, 0, ["70 of 120 images have a single colour"]),
        ("same", 0, 69, ["69 of 120 images are copies of others"]),
    ],
)
def test_images_that_are_mostly_the_same_are_named(toy_images, found, caplog, most, constant, copies, said):
    pixels = toy_images.images.copy()
    same = {"black": 0, "grey": np.arange(70, dtype=np.uint8)[:, None, None, None], "same": pixels[:1]}
    pixels[:70] = same[most]
    images = LabelledImages(pixels, toy_images.labels)
    manifest = describe_images(images, found, SETTINGS, CaptionSettings(), 0)
    report = report_source(images, manifest, found, SETTINGS)
    assert (report["constant"], report["copies"]) == (constant, copies)
    warned = [message for message in caplog.messages if "look at the files" in message]
    assert [message.partition(":")[0] for message in warned] == said


def test_classes_whose_names_are_alike_are_named(toy_images, found, caplog):
    manifest = describe_images(toy_images, found, SETTINGS, CaptionSettings(), 0)
    for found.names in (["Cats", "cats ", "owls"], ["cafe\u0301", "caf\u00e9", "x"]):
        caplog.clear()
        report_source(toy_images, manifest, found, SETTINGS)
        (said,) = [message for message in caplog.messages if "are they one?" in message]
        assert all(name in said for name in found.names[:2])


def test_words_of_other_classes_are_refused(toy_images, found):
    digits = CaptionSettings(words={0: ["zero", "0"], 1: ["one", "1"], 2: ["two", "2"]}, templates=["a {}"])
    said = "captions.words: class 0 is 'cats': expected 'cats' among its words, found 'zero', '0'"
    with pytest.raises(InvalidParameter, match=said):
        describe_images(toy_images, found, SETTINGS, digits, 0)


def test_words_that_are_like_the_name_are_those_of_the_class(toy_images, found):
    found.names = ["Cats", "golf_ball", "owls at night"]
    words = {0: ["kitten", "cat"], 1: ["golf ball"], 2: ["owl"]}
    captions = CaptionSettings(words=words, templates=["a {}"])
    manifest = describe_images(toy_images, found, SETTINGS, captions, 0)
    assert set(manifest["prompt"]) == {"a kitten", "a cat", "a golf ball", "a owl"}


def test_a_source_that_is_divided_stays_so(toy_images, found):
    found.split = ["test"] * 3 + ["train"] * 117
    manifest = describe_images(toy_images, found, SETTINGS, CaptionSettings(), 0)
    assert manifest["split"].tolist() == found.split


def test_captions_of_the_source_go_before_the_templates(toy_images, found):
    found.captions = [f"image {row}" for row in range(120)]
    captions = CaptionSettings(words={0: ["cat"]}, templates=["a {}"])
    manifest = describe_images(toy_images, found, SETTINGS, captions, 0)
    assert manifest["prompt"].tolist() == found.captions
