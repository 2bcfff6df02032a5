import pytest

from erasediff_pipeline.config import ClassifierSettings
from erasediff_pipeline.evaluation.classifiers.classifier import train_classifier


@pytest.fixture(scope="session")
def judge(toy_images):
    return train_classifier(
        toy_images, ClassifierSettings(channels=8, features=16, epochs=1, batch_size=20), 0
    )
