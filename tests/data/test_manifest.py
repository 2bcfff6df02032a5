import hashlib

import numpy as np
import pytest

from erasediff_pipeline.data.manifest import build_manifest
from erasediff_pipeline.errors import InvalidParameter, MissingInput


@pytest.fixture
def manifest(toy_images):
    return build_manifest(toy_images, 0.25, seed=0)


def test_one_row_an_image(toy_images, manifest):
    assert list(manifest.columns) == ["id", "label", "sha256", "split"]
    assert manifest["id"].tolist() == [f"{row:06d}" for row in range(120)]
    assert manifest["label"].tolist() == toy_images.labels.tolist()


def test_hash_is_of_the_pixels(toy_images, manifest):
    assert manifest["sha256"][5] == hashlib.sha256(toy_images.images[5].tobytes()).hexdigest()
    assert manifest["sha256"].is_unique


def test_test_split_is_stratified(manifest):
    assert set(manifest["split"]) == {"train", "test"}
    assert manifest["label"][manifest["split"] == "test"].value_counts().to_dict() == {0: 10, 1: 10, 2: 10}


def test_a_class_of_one_image_is_refused(toy_images):
    with pytest.raises(MissingInput, match="class 1 has one image"):
        build_manifest(toy_images.select(np.array([0, 1, 2, 3, 5])), 0.4, seed=0)


def test_the_seed_decides(toy_images, manifest):
    assert build_manifest(toy_images, 0.25, seed=0).equals(manifest)
    assert not build_manifest(toy_images, 0.25, seed=4)["split"].equals(manifest["split"])


@pytest.mark.parametrize(("fraction", "images"), [(0.02, 2), (0.98, 98)])
def test_a_split_without_room_for_every_class_is_refused(toy_images, fraction, images):
    few = toy_images.select(np.resize(np.arange(len(toy_images)), 100))
    with pytest.raises(InvalidParameter, match=f"source.test_fraction: {fraction}: {images} of 100 images"):
        build_manifest(few, fraction, seed=0)
