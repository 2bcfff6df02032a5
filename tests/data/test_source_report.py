import logging
from collections import Counter

import pytest

from erasediff_pipeline.config import CaptionSettings, SourceSettings
from erasediff_pipeline.data.manifest import describe_images
from erasediff_pipeline.data.source import Found
from erasediff_pipeline.data.source_report import report_source

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
        "sizes": {"8×8": 100, "12×8": 20},
        "classes": [{"label": n, "name": name, **counts} for n, name in enumerate(found.names)],
        "skipped": {"cats/c.png": "broken"},
    }
    assert "class 1 is 'dogs': 32 images to train on, 8 unseen" in caplog.messages
    assert "1 files were skipped; source.json lists them" in caplog.messages


def test_a_source_that_is_divided_stays_so(toy_images, found):
    found.split = ["test"] * 3 + ["train"] * 117
    manifest = describe_images(toy_images, found, SETTINGS, CaptionSettings(), 0)
    assert manifest["split"].tolist() == found.split


def test_captions_of_the_source_go_before_the_templates(toy_images, found):
    found.captions = [f"image {row}" for row in range(120)]
    captions = CaptionSettings(words={0: ["cat"]}, templates=["a {}"])
    manifest = describe_images(toy_images, found, SETTINGS, captions, 0)
    assert manifest["prompt"].tolist() == found.captions
