import numpy as np
import pytest

from erasediff_pipeline.data.images import LabelledImages


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


def test_select_keeps_images_and_labels_together(toy_images):
    chosen = toy_images.select(np.array([7, 2]))
    assert (chosen.images == toy_images.images[[7, 2]]).all()
    assert chosen.labels.tolist() == [1, 2]


def test_writing_to_the_tensors_leaves_the_images_alone(toy_images):
    before = toy_images.images.copy()
    toy_images.tensors(slice(0, 4))[0].zero_()
    assert (toy_images.images == before).all()


def test_join_keeps_the_order(toy_images):
    first, last = toy_images.select(np.array([7, 2])), toy_images.select(np.array([4]))
    joined = first.join(last)
    assert (joined.images == toy_images.images[[7, 2, 4]]).all()
    assert joined.labels.tolist() == toy_images.labels[[7, 2, 4]].tolist()
