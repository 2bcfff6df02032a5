import pytest

from erasediff_pipeline.training.method import TrainingData


@pytest.fixture(scope="session")
def data(toy_images):
    """Class 0 is to be forgotten."""
    return TrainingData(
        retain=toy_images.select(toy_images.labels != 0), forget=toy_images.select(toy_images.labels == 0)
    )
