import mlflow
import pytest
from kedro.io import DatasetError

from erasediff_pipeline.catalog.registered_model import RegisteredModel, RegisteredVerdict
from erasediff_pipeline.tracking.registry import ModelVersion, Verdict


def test_nothing_is_registered_without_a_name_or_with_tracking_off(monkeypatch):
    for name in ("active_run", "MlflowClient"):
        monkeypatch.setattr(mlflow, name, lambda: pytest.fail("MLflow is asked"))
    model, verdict = RegisteredModel("data"), RegisteredVerdict()
    model.save(ModelVersion(None, {}, {}))
    for dataset, data in ((model, ModelVersion("erased", {}, {})), (verdict, Verdict("e" * 64, True, {}))):
        dataset._logging_activated = False
        dataset.save(data)


def test_loading_says_how():
    with pytest.raises(DatasetError, match=r"mlflow\.pyfunc\.load_model"):
        RegisteredModel("data").load()
