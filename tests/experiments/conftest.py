import pytest

from erasediff_pipeline.config import EvaluationSettings, SamplingSettings
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.evaluation.bench import Bench
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier
from erasediff_pipeline.experiments.store import TrialStore
from erasediff_pipeline.workspace import Workspace
from tests.helpers.tasks import toy_task


@pytest.fixture
def store(tmp_path):
    return TrialStore(tmp_path / "kept")


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "data")


@pytest.fixture
def bench(toy_images, unet_model):
    """Three classes of toy images, one of them to be forgotten."""
    return Bench(
        base_model=ModelWithHistory(unet_model().to_pipeline()),
        task=toy_task(toy_images),
        classifier=Classifier(channels=8, features=4, classes=3),
        sampling=SamplingSettings(steps=2),
        evaluation=EvaluationSettings(forget_samples=2, retain_samples=4, precision_neighbours=1),
    )
