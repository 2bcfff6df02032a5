import mlflow
import pytest
from kedro.io import DatasetError

from erasediff_pipeline.catalog.registered_model import (
    ModelVersion,
    RegisteredModel,
    RegisteredVerdict,
    Verdict,
)


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


WEIGHTS = "e" * 64


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A store with two versions of one model, of which the first has the weights that are audited."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path_factory.mktemp('registry') / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    client.create_registered_model("model")
    for weights in (WEIGHTS, "f" * 64):
        client.create_model_version("model", "file:nowhere", tags={"erased_model_sha256": weights})
    yield client
    mlflow.set_tracking_uri(before)


def judge(client, passed, weights=WEIGHTS):
    RegisteredVerdict().save(Verdict(weights, passed, {"gates": "passed" if passed else "failed"}))
    aliases = client.get_registered_model("model").aliases
    return {name: str(version) for name, version in aliases.items()}


def test_a_later_audit_that_fails_takes_the_alias(registry):
    assert judge(registry, passed=False) == {}
    assert judge(registry, passed=True) == {"erased": "1"}
    assert registry.get_model_version("model", "1").tags["gates"] == "passed"
    assert judge(registry, passed=False, weights="f" * 64) == {"erased": "1"}
    assert judge(registry, passed=False) == {}
    assert registry.get_model_version("model", "1").tags["gates"] == "failed"


def test_an_older_version_does_not_take_the_alias_of_a_newer(registry):
    assert judge(registry, passed=True, weights="f" * 64) == {"erased": "2"}
    assert judge(registry, passed=True) == {"erased": "2"}


def test_weights_that_nobody_registered_are_said(registry, caplog):
    judge(registry, passed=True, weights="0" * 64)
    assert "the registry has no version of this model" in caplog.text
