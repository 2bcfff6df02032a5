from types import SimpleNamespace
from unittest.mock import Mock

import mlflow
import pytest

from erasediff_pipeline.tracking.registry import ModelVersion, Verdict, record_verdict, register_version
from tests.helpers.servers import pointed_to

WEIGHTS, OTHER = "e" * 64, "f" * 64


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A store of its own, within a run."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('registry') / 'mlflow.db'}"
    with pointed_to(uri) as client, mlflow.start_run():
        yield client


def test_a_call_that_is_repeated_makes_one_version(client, monkeypatch, tmp_path):
    def register(uri, name, tags):
        client.create_registered_model(name)
        return client.create_model_version(name, uri, mlflow.active_run().info.run_id, tags)

    monkeypatch.setattr(mlflow.pyfunc, "log_model", lambda **options: SimpleNamespace(model_uri="file:x"))
    monkeypatch.setattr(mlflow, "register_model", register)
    model = ModelVersion("repeated", {"request": "class 3"}, {})
    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "set_registered_model_alias", Mock(side_effect=ConnectionError))
        with pytest.raises(ConnectionError):
            register_version(tmp_path, model)
    register_version(tmp_path, model)
    (version,) = client.search_model_versions("name = 'repeated'")
    assert version.tags == {"request": "class 3"}
    assert client.get_model_version("repeated", version.version).aliases == ["candidate"]


@pytest.fixture
def judge(client):
    """``judge(held, weights)``: the aliases after a verdict; of two versions, the first has ``WEIGHTS``."""
    client.create_registered_model("audited")
    for weights in (WEIGHTS, OTHER):
        client.create_model_version("audited", "file:nowhere", tags={"erased_model_sha256": weights})

    def record(held, weights=WEIGHTS):
        record_verdict(Verdict(weights, held, {"gates": "held" if held else "failed"}))
        return {k: str(v) for k, v in client.get_registered_model("audited").aliases.items()}

    return record


def test_the_newest_version_that_held_is_the_erased_one(client, judge):
    assert judge(held=False) == {}
    assert judge(held=True) == {"erased": "1"}
    assert client.get_model_version("audited", "1").tags["gates"] == "held"
    assert judge(held=False, weights=OTHER) == {"erased": "1"}
    assert judge(held=False) == {}  # a later audit takes it away
    assert client.get_model_version("audited", "1").tags["gates"] == "failed"
    assert judge(held=True, weights=OTHER) == {"erased": "2"}
    assert judge(held=True) == {"erased": "2"}


def test_weights_that_nobody_registered_are_said(client, caplog):
    record_verdict(Verdict("0" * 64, True, {}))
    assert "the registry has no version of this model" in caplog.text
