import pytest

from erasediff_pipeline.config import ClassifierSettings
from erasediff_pipeline.evaluation.classifiers.classifier import train_classifier

JUDGE = ClassifierSettings(channels=8, features=16, epochs=12, batch_size=20)


@pytest.fixture(scope="session")
def judge_settings():
    return JUDGE


@pytest.fixture(scope="session")
def judge(toy_images):
    """A classifier that knows the toy classes."""
    return train_classifier(toy_images, JUDGE, seed=0)
