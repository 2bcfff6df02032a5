import numpy as np
import pytest
from kedro.io import DatasetError

from erasediff_pipeline.catalog import LabelledImagesDataset
from erasediff_pipeline.data.images import LabelledImages


@pytest.fixture
def dataset(toy_images, tmp_path):
    """It holds the toy images."""
    dataset = LabelledImagesDataset(str(tmp_path / "images"))
    assert not dataset.exists()
    dataset.save(toy_images)
    assert dataset.exists()
    return dataset


def test_images_come_back_memory_mapped_and_read_only(toy_images, dataset):
    loaded = dataset.load()
    assert (loaded.images == toy_images.images).all()
    assert (loaded.labels == toy_images.labels).all()
    assert (loaded.images.dtype, loaded.labels.dtype) == (np.uint8, np.int64)
    assert isinstance(loaded.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        loaded.images[0] = 0


def test_what_was_loaded_can_be_saved_over_itself(toy_images, dataset):
    dataset.save(dataset.load().select(np.arange(10)))
    assert (dataset.load().images == toy_images.images[:10]).all()


def test_failed_save_leaves_the_earlier_images(toy_images, dataset, tmp_path, monkeypatch):
    save = np.save

    def fail_at_labels(path, *args, **kwargs):
        if "labels" in str(path):
            raise OSError("No space left on device")
        save(path, *args, **kwargs)

    monkeypatch.setattr(np, "save", fail_at_labels)
    with pytest.raises(DatasetError, match="No space"):
        dataset.save(LabelledImages(toy_images.images[:5], toy_images.labels[:5]))
    assert len(dataset.load()) == 120
    assert [p.name for p in tmp_path.iterdir()] == ["images"]


def test_pickled_array_is_refused(dataset, tmp_path):
    np.save(tmp_path / "images" / "labels.npy", np.array([{}] * 120), allow_pickle=True)
    with pytest.raises(DatasetError, match="allow_pickle"):
        dataset.load()
