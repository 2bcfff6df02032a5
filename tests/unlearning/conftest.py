import pytest

from erasediff_pipeline.training.method import TrainingData


@pytest.fixture(autouse=True)
def own_checkpoints(own_project):
    """Blindspot's proxy has a checkpoint in the project: keep the tests out of there."""
    return own_project / "data/.checkpoints"


@pytest.fixture(scope="session")
def data(toy_images):
    """Class 0 is to be forgotten."""
    return TrainingData(
        retain=toy_images.select(toy_images.labels != 0), forget=toy_images.select(toy_images.labels == 0)
    )
