import pytest
import torch
from skimage import data

from erasediff_pipeline.config import ClassifierSettings
from erasediff_pipeline.evaluation.classifiers.classifier import train_classifier
from erasediff_pipeline.evaluation.classifiers.pretrained import SavedClassifier
from erasediff_pipeline.hashing import hash_weights


@pytest.fixture(scope="session")
def judge_settings():
    return ClassifierSettings(channels=8, features=16, epochs=12, batch_size=20)


@pytest.fixture(scope="session")
def photographs():
    """``[1, 3, H, W]`` uint8 each, by the names that scikit-image gives them."""
    names = ("astronaut", "chelsea", "coffee", "hubble_deep_field")
    return {name: torch.from_numpy(getattr(data, name)().copy()).permute(2, 0, 1)[None] for name in names}


@pytest.fixture(scope="session")
def judge(toy_images, judge_settings):
    """A classifier that knows the toy classes."""
    return train_classifier(toy_images, judge_settings, seed=0)


@pytest.fixture
def reload(tmp_path):
    """``reload(judge)``: from its own files; it has the same class and weights."""

    def save_and_load(judge):
        judge.save_pretrained(tmp_path)
        loaded = SavedClassifier.from_pretrained(str(tmp_path), local_files_only=True)
        assert type(loaded) is type(judge)
        assert not list(tmp_path.glob("*.bin"))
        assert hash_weights(loaded) == hash_weights(judge)
        return loaded

    return save_and_load
