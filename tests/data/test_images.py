import numpy as np
import pytest

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.hashing import hash_images


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 1, 4, 4), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 1, 4, 4), np.uint8), np.zeros(3, np.int64)),
    ],
)
def test_wrong_arrays_are_refused(images, labels):
    with pytest.raises(ValueError, match="images"):
        LabelledImages(images, labels)


def test_classes_are_those_that_occur():
    assert LabelledImages(np.zeros((4, 1, 2, 2), np.uint8), np.array([5, 1, 5, 3])).classes == [1, 3, 5]


def test_writing_to_the_tensors_leaves_the_images_alone(toy_images):
    before = toy_images.images.copy()
    toy_images.tensors(slice(0, 4))[0].zero_()
    assert (toy_images.images == before).all()


def test_select_and_join_keep_images_and_labels_together(toy_images):
    first, last = toy_images.select(np.array([7, 2])), toy_images.select(np.array([4]))
    joined = first.join(last)
    assert (joined.images == toy_images.images[[7, 2, 4]]).all()
    assert joined.labels.tolist() == [1, 2, 1]


def test_what_is_chosen_of_images_on_disk_is_read_when_asked_for(tmp_path):
    """64 GiB of which the file system holds nothing: to read them would take minutes, or all memory."""
    on_disk = np.memmap(tmp_path / "huge", np.uint8, "w+", shape=(2**20, 4, 128, 128))
    images = LabelledImages(on_disk, np.arange(2**20) % 10)
    kept = images.select(images.labels != 3)
    some = kept.select(np.arange(5, 15))
    assert kept.shape == (4, 128, 128)
    assert len(kept) == 2**20 - (2**20 + 6) // 10
    assert some.labels.tolist() == [6, 7, 8, 9, 0, 1, 2, 4, 5, 6]
    on_disk[10] = 7
    assert [int(image.max()) for image in some.images] == [0, 0, 0, 0, 7, 0, 0, 0, 0, 0]
    assert some.tensors(np.array([4, 0]))[0].amax(dim=(1, 2, 3)).tolist() == [7, 0]


def test_what_is_chosen_on_disk_is_what_is_chosen_in_memory(toy_images, tmp_path):
    np.save(tmp_path / "images.npy", toy_images.images)
    on_disk = LabelledImages(np.load(tmp_path / "images.npy", mmap_mode="r"), toy_images.labels)
    for rows in (toy_images.labels == 1, np.array([5, 3, 3])):
        here, there = toy_images.select(rows), on_disk.select(rows)
        assert hash_images(here) == hash_images(there)
        assert hash_images(here.resized(4)) == hash_images(there.resized(4))
        assert hash_images(here.in_colour()) == hash_images(there.in_colour())
        assert hash_images(here.join(there)) == hash_images(there.join(here))
