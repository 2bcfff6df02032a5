import pytest
import yaml

from erasediff_pipeline.loader import ProjectConfigLoader, artifact_location, tracking_uri
from erasediff_pipeline.paths import PROJECT_ROOT


@pytest.fixture
def load(tmp_path):
    """``load(overlay, **runtime)``: the parameters, as settings.py has them merged."""
    (tmp_path / "base").mkdir()
    (tmp_path / "overlay").mkdir()
    base = {"seed": 0, "forget": {"classes": [0]}, "unlearn": {"steps": 40, "eta": 1.0}}
    (tmp_path / "base" / "parameters.yml").write_text(yaml.safe_dump(base))

    def load(overlay=None, **runtime):
        (tmp_path / "overlay" / "parameters.yml").write_text(yaml.safe_dump(overlay or {}))
        loader = ProjectConfigLoader(
            str(tmp_path),
            env="overlay",
            runtime_params=runtime,
            base_env="base",
            default_run_env="overlay",
            merge_strategy={"parameters": "soft"},
        )
        return loader["parameters"]

    return load


def test_request_by_ids_replaces_the_classes(load):
    assert load(forget={"ids_file": "ids.csv"})["forget"] == {"ids_file": "ids.csv"}


def test_other_classes_replace_the_classes(load):
    assert load(forget={"classes": 3})["forget"] == {"classes": 3}


def test_one_knob_leaves_the_others(load):
    parameters = load(unlearn={"steps": 2})
    assert parameters["unlearn"] == {"steps": 2, "eta": 1.0}
    assert parameters["forget"] == {"classes": [0]}


def test_environment_changes_one_knob(load):
    assert load({"unlearn": {"eta": 0.5}})["unlearn"] == {"steps": 40, "eta": 0.5}


def test_mlflow_is_in_the_project_unless_a_server_is_named(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{PROJECT_ROOT}/mlflow.db"
    assert artifact_location() == f"file://{PROJECT_ROOT}/mlartifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert tracking_uri() == "http://localhost:5000"
    assert artifact_location() is None
