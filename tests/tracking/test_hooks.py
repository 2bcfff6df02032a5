"""What differs from kedro-mlflow; with a real server in ``services/test_tracking_gone.py``."""

import mlflow
import pytest
import requests

from erasediff_pipeline.parameters import Parameters
from erasediff_pipeline.tracking.hooks import TrackRun


@pytest.fixture
def hook(monkeypatch):
    monkeypatch.setattr(mlflow, "active_run", lambda: "a run")
    return TrackRun()


@pytest.fixture
def logged(monkeypatch):
    """The parameters of each request."""
    requests = []
    monkeypatch.setattr(mlflow, "log_params", requests.append)
    return requests


def test_parameters_of_a_node_are_one_flat_request(hook, logged):
    hook.before_node_run({"params:gates": {"limits": {"fid": 2}}, "params:seed": 4, "images": object()})
    hook.before_node_run({"params:unlearn": Parameters().unlearn})
    hook.before_node_run({"images": object(), "parameters": {"seed": 4}})
    first, second = logged
    assert first == {"gates.limits.fid": 2, "seed": 4}
    assert second["unlearn.steps"] == Parameters().unlearn.steps


def fail():
    raise requests.ConnectionError("refused")


def test_the_end_names_what_is_missing_and_hides_no_other_error(hook, monkeypatch, caplog):
    """After a failure nothing is sent: the files that wait are no longer this run's."""
    tries = []

    def end_run(status):
        tries.append(status)
        fail()

    monkeypatch.setattr(mlflow, "end_run", end_run)
    hook.outbox.send("report", fail)
    hook.outbox.send("grid", lambda: tries.append("grid"))
    hook.on_pipeline_error()
    assert tries == ["FAILED"]
    said = "MLflow did not receive: report, grid, the end of the run. Results are in data/."
    assert caplog.messages[-1] == said


def test_another_error_at_the_end_is_an_error(hook, monkeypatch):
    monkeypatch.setattr(mlflow, "end_run", lambda status: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hook.end("FINISHED")


def test_points_of_curves_wait_while_the_server_is_away(hook, monkeypatch):
    monkeypatch.setattr(mlflow, "log_metrics", lambda scalars, step: fail())
    hook.log_scalars(3, {"loss": 0.5})
    assert hook.outbox.missing() == ["points of the curves"]


def test_a_run_that_somebody_else_has_started_stays_open(hook, monkeypatch):
    monkeypatch.setattr(mlflow, "end_run", lambda status: pytest.fail("ended"))
    monkeypatch.setattr(hook, "owns_run", False)
    hook.after_pipeline_run()
