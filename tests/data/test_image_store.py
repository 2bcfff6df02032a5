import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from erasediff_pipeline.catalog import ImageStoreDataset
from erasediff_pipeline.data.image_store import ImageStore


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(256, size=(3, 6, 5), dtype=np.uint8)


def test_an_image_comes_back_and_is_held_for_what_it_was_made_from_only(store, image):
    assert not store.holds("base/000001.png", "abc")
    store.save("base/000001.png", image, "abc")
    assert (store.load("base/000001.png") == image).all()
    assert store.holds("base/000001.png", "abc")
    assert not store.holds("base/000001.png", "abd")
    assert not store.holds("base/000002.png", "abc")


def test_a_file_that_is_cut_short_or_no_image_or_has_no_note_is_not_held(store, image, tmp_path):
    store.save("a.png", image, "abc")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:-30])
    assert not store.holds("a.png", "abc")
    (tmp_path / "a.png").write_bytes(b"no image")
    assert not store.holds("a.png", "abc")
    Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "a.png")
    assert not store.holds("a.png", "abc")


def test_nothing_but_the_images_is_left(store, image, tmp_path):
    store.save("a.png", image, "abc")
    store.save("a.png", 255 - image, "abd")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (store.load("a.png") == 255 - image).all()


def test_the_dataset_hands_out_the_store(tmp_path, image):
    dataset = ImageStoreDataset(str(tmp_path))
    assert dataset.exists()
    dataset.load().save("a.png", image, "abc")
    assert (tmp_path / "a.png").exists()
    with pytest.raises(DatasetError, match="writes to the store itself"):
        dataset.save(image)
