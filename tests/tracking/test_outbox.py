import pytest
import requests
from kedro.io import DatasetError
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from erasediff_pipeline.tracking import outbox as module
from erasediff_pipeline.tracking.outbox import PAUSE, Outbox, is_away


class Server:
    """One that can be away, and then takes ``seconds`` to time out."""

    def __init__(self, clock):
        self.clock, self.away, self.seconds, self.received, self.tries = clock, False, 0, [], 0

    def call(self, message):
        def receive():
            self.tries += 1
            if self.away:
                self.clock[0] += self.seconds
                raise requests.ConnectionError("refused")
            self.received.append(message)

        return message, receive


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def server(clock):
    return Server(clock)


@pytest.fixture
def outbox():
    return Outbox()


def refuse():
    raise MlflowException("no such run at http://me:planted@host", error_code=RESOURCE_DOES_NOT_EXIST)


def test_calls_arrive_at_once_and_those_that_waited_in_their_order(outbox, server, clock, caplog):
    outbox.send(*server.call("a"))
    assert server.received == ["a"]
    server.away = True
    for message in "bcd":
        outbox.send(*server.call(message))
    assert server.tries == 2  # not tried again so soon
    server.away = False
    clock[0] += PAUSE
    outbox.send(*server.call("e"))
    assert server.received == list("abcde")
    assert not outbox.missing()
    assert [message.split(". ")[0] for message in caplog.messages] == [
        "MLflow's server does not answer",
        "MLflow's server is reachable again; queued calls were sent.",
    ]


def test_what_was_not_delivered_is_named_once(outbox, server):
    server.away = True
    for message in ("points", "points", "report"):
        outbox.send(*server.call(message))
    outbox.deliver()
    assert outbox.missing() == ["points", "report"]


def test_a_call_that_is_refused_is_an_error_and_is_not_repeated(outbox, server):
    with pytest.raises(MlflowException, match="no such run"):
        outbox.send("metric", refuse)
    outbox.send(*server.call("a"))
    assert server.received == ["a"]


def test_a_server_that_comes_back_without_its_store_does_not_end_the_run(outbox, server, clock, caplog):
    server.away = True
    outbox.send(*server.call("a"))
    outbox.send("points", refuse)
    server.away = False
    clock[0] += PAUSE
    outbox.send("report", refuse)
    assert server.received == ["a"]
    assert "MLflow refused report: no such run at http://host" in caplog.messages
    assert outbox.missing() == ["points", "report"]


def test_a_server_that_hangs_is_seldom_tried(outbox, server, clock):
    server.away, server.seconds = True, 60
    for _ in range(900):
        outbox.send(*server.call("points"))
        clock[0] += 1
    assert server.tries == 2


def answer(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


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
        (answer(503), True),
        (answer(403), False),
        (MlflowException("the example does not fit the signature"), False),
        (wrapped(OSError(28, "No space left on device"), DatasetError("Failed while saving")), False),
        (ValueError("a bug"), False),
    ],
    ids=repr,
)
def test_what_counts_as_away(error, away):
    assert is_away(error) == away
