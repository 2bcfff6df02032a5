"""What is not as kedro-mlflow does it; against a real server in ``services/test_tracking_server.py``."""

import mlflow
import pytest
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from erasediff_pipeline.tracking.hooks import TrackAnyway


@pytest.fixture
def hook():
    """As ``conf/base/mlflow.yml`` has it, within a run."""
    hook = TrackAnyway()
    settings = {"flatten": True, "recursive": True, "sep": ".", "long_params_strategy": "truncate"}
    for name, value in {**settings, "run_id": None, "_is_mlflow_enabled": True}.items():
        setattr(hook, name, value)
    return hook


@pytest.fixture
def sent(monkeypatch):
    """The messages, in their order."""
    messages = []
    monkeypatch.setattr(mlflow, "log_params", messages.append)
    monkeypatch.setattr(mlflow, "log_param", lambda name, value: messages.append({name: value}))
    return messages


def test_a_nodes_parameters_are_one_message(hook, sent):
    inputs = {"params:unlearn": {"steps": 3, "schedule": "constant"}, "params:seed": 4, "images": object()}
    hook.before_node_run(None, None, inputs, False)
    assert sent == [{"unlearn.steps": 3, "unlearn.schedule": "constant", "seed": 4}]


def test_another_nodes_are_another(hook, sent):
    for seed in (1, 2):
        hook.before_node_run(None, None, {"params:seed": seed}, False)
    assert sent == [{"seed": 1}, {"seed": 2}]


def test_without_parameters_nothing_is_sent(hook, sent):
    hook.before_node_run(None, None, {"images": object()}, False)
    assert sent == []


def test_a_long_value_is_cut_as_kedro_mlflow_says(hook, sent):
    long = "x" * (MAX_PARAM_VAL_LENGTH + 1)
    hook.before_node_run(None, None, {"params:words": long, "params:seed": 4}, False)
    assert sent == [{"words": long[:-1]}, {"seed": 4}]
