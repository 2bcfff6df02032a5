import mlflow
import pytest
from kedro.io import DatasetError

from erasediff_pipeline.catalog.registered_model import ModelVersion, RegisteredModel


@pytest.fixture
def logged(monkeypatch):
    calls = []
    monkeypatch.setattr(mlflow.pyfunc, "log_model", lambda **kwargs: calls.append(kwargs))
    return calls


def test_no_name_registers_nothing(logged, tmp_path):
    RegisteredModel(str(tmp_path)).save(ModelVersion(None, {}, {}))
    assert logged == []


def test_tracking_switched_off_registers_nothing(logged, tmp_path):
    dataset = RegisteredModel(str(tmp_path))
    dataset._logging_activated = False
    dataset.save(ModelVersion("erased", {}, {}))
    assert logged == []


def test_loading_says_how(tmp_path):
    with pytest.raises(DatasetError, match=r"mlflow\.pyfunc\.load_model"):
        RegisteredModel(str(tmp_path)).load()
