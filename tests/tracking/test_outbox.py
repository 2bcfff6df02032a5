from unittest.mock import Mock

import pytest
import requests
from kedro.io import DatasetError
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from erasediff_pipeline.tracking import outbox as module
from erasediff_pipeline.tracking.outbox import PAUSE, Outbox, is_away


class Server:
    """One that can be away, and then takes ``seconds`` to time out; a run sends to it by its outbox."""

    def __init__(self):
        self.outbox, self.now, self.away, self.seconds = Outbox(), 1000.0, False, 0
        self.received, self.tries = [], 0

    def send(self, message):
        self.outbox.send(message, lambda: self.receive(message))

    def receive(self, message):
        self.tries += 1
        if self.away:
            self.now += self.seconds
            raise requests.ConnectionError("refused")
        self.received.append(message)


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setattr(module.time, "monotonic", lambda: server.now)
    return server


def refuse():
    raise MlflowException("no such run at http://me:planted@host", error_code=RESOURCE_DOES_NOT_EXIST)


def test_calls_arrive_at_once_and_those_that_waited_in_their_order(server, caplog):
    server.send("a")
    assert server.received == ["a"]
    server.away = True
    for message in "bcd":
        server.send(message)
    assert server.tries == 2  # not tried again so soon
    server.away = False
    server.now += PAUSE
    server.send("e")
    assert server.received == list("abcde")
    assert not server.outbox.missing()
    assert [message.split(". ")[0] for message in caplog.messages] == [
        "MLflow's server does not answer",
        "MLflow's server is reachable again; queued calls were sent.",
    ]


def test_what_was_not_delivered_is_named_once(server):
    server.away = True
    for message in ("points", "points", "report"):
        server.send(message)
    server.outbox.deliver()
    assert server.outbox.missing() == ["points", "report"]


def test_a_call_that_is_refused_is_an_error_and_is_not_repeated(server):
    with pytest.raises(MlflowException, match="no such run"):
        server.outbox.send("metric", refuse)
    server.send("a")
    assert server.received == ["a"]


def test_a_server_that_comes_back_without_its_store_does_not_end_the_run(server, caplog):
    server.away = True
    server.send("a")
    server.outbox.send("points", refuse)
    server.away = False
    server.now += PAUSE
    server.outbox.send("report", refuse)
    assert server.received == ["a"]
    assert "MLflow refused report: no such run at http://host" in caplog.messages
    assert server.outbox.missing() == ["points", "report"]


def test_a_server_that_hangs_is_seldom_tried(server):
    server.away, server.seconds = True, 60
    for _ in range(900):
        server.send("points")
        server.now += 1
    assert server.tries == 2


def wrapped(error, outer):
    """As MLflow and Kedro wrap what they catch."""
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (requests.ConnectionError("refused"), True),
        (requests.exceptions.RetryError("too many 503"), True),
        (wrapped(requests.ConnectionError("refused"), MlflowException("API request failed")), True),
        (wrapped(requests.ConnectionError("refused"), DatasetError("Failed while saving")), True),
        (RestException({"error_code": "INTERNAL_ERROR", "message": "disk"}), True),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "run"}), False),
        (requests.HTTPError(response=Mock(status_code=503)), True),
        (requests.HTTPError(response=Mock(status_code=403)), False),
        (MlflowException("the example does not fit the signature"), False),
        (wrapped(OSError(28, "No space left on device"), DatasetError("Failed while saving")), False),
        (ValueError("a bug"), False),
    ],
    ids=repr,
)
def test_what_counts_as_away(error, away):
    assert is_away(error) == away
