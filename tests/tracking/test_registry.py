from types import SimpleNamespace

import mlflow
import pytest

from erasediff_pipeline.tracking.registry import ModelVersion, Verdict, record_verdict, register_version

WEIGHTS, OTHER = "e" * 64, "f" * 64


@pytest.fixture
def client(tmp_path):
    """A store of its own, within a run."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with mlflow.start_run():
        yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


def aliases_of(client, name):
    return {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}


def test_a_call_that_is_repeated_makes_one_version(client, monkeypatch, tmp_path):
    def register(uri, name, tags):
        client.create_registered_model(name)
        return client.create_model_version(name, uri, mlflow.active_run().info.run_id, tags)

    def lose_connection(*arguments):
        raise ConnectionError

    monkeypatch.setattr(mlflow.pyfunc, "log_model", lambda **options: SimpleNamespace(model_uri="file:x"))
    monkeypatch.setattr(mlflow, "register_model", register)
    model = ModelVersion("model", {"request": "class 3"}, {})
    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "set_registered_model_alias", lose_connection)
        with pytest.raises(ConnectionError):
            register_version(tmp_path, model)
    register_version(tmp_path, model)
    assert [version.tags for version in client.search_model_versions()] == [{"request": "class 3"}]
    assert aliases_of(client, "model") == {"candidate": "1"}


@pytest.fixture
def judge(client):
    """``judge(passed, weights)``: the aliases after a verdict; of two versions, the first has ``WEIGHTS``."""
    client.create_registered_model("model")
    for weights in (WEIGHTS, OTHER):
        client.create_model_version("model", "file:nowhere", tags={"erased_model_sha256": weights})

    def record(passed, weights=WEIGHTS):
        record_verdict(Verdict(weights, passed, {"gates": "passed" if passed else "failed"}))
        return aliases_of(client, "model")

    return record


def test_the_newest_version_that_passed_is_the_erased_one(client, judge):
    assert judge(passed=False) == {}
    assert judge(passed=True) == {"erased": "1"}
    assert client.get_model_version("model", "1").tags["gates"] == "passed"
    assert judge(passed=False, weights=OTHER) == {"erased": "1"}
    assert judge(passed=False) == {}  # a later audit takes it away
    assert client.get_model_version("model", "1").tags["gates"] == "failed"
    assert judge(passed=True, weights=OTHER) == {"erased": "2"}
    assert judge(passed=True) == {"erased": "2"}


def test_weights_that_nobody_registered_are_said(judge, caplog):
    judge(passed=True, weights="0" * 64)
    assert "the registry has no version of this model" in caplog.text
