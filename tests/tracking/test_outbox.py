import pytest
import requests
from kedro.io import DatasetError
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from erasediff_pipeline.tracking import outbox as module
from erasediff_pipeline.tracking.outbox import Outbox, is_gone, unless_gone


class Server:
    """One that can be away."""

    def __init__(self):
        self.away, self.told, self.asked = False, [], 0

    def take(self, message):
        def deliver():
            self.asked += 1
            if self.away:
                raise requests.ConnectionError("refused")
            self.told.append(message)

        return deliver


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_messages_get_through_at_once(server):
    outbox = Outbox()
    for message in "ab":
        outbox.send(message, server.take(message))
    assert server.told == ["a", "b"]
    assert outbox.close() == []


def test_what_waits_arrives_in_its_order_when_the_server_is_back(server, clock, caplog):
    outbox = Outbox()
    server.away = True
    for message in "abc":
        outbox.send(message, server.take(message))
    server.away = False
    outbox.send("d", server.take("d"))
    assert server.told == []  # not asked again so soon
    clock[0] += module.PAUSE + 1
    outbox.send("e", server.take("e"))
    assert server.told == ["a", "b", "c", "d", "e"]
    assert [("gone" in m, "back" in m) for m in caplog.messages] == [(True, False), (False, True)]


def test_a_server_that_is_gone_is_not_asked_at_every_step(server, clock):
    outbox = Outbox()
    server.away = True
    for _ in range(50):
        outbox.send("points", server.take("points"))
    assert server.asked == 1


def test_what_never_got_through_is_named_once(server, caplog):
    outbox = Outbox()
    server.away = True
    for what in ("points", "points", "report"):
        outbox.send(what, server.take(what))
    assert outbox.close() == ["points", "report"]
    server.away = False
    outbox.send("next run", server.take("next run"))
    assert server.told == ["next run"]


def refuse():
    raise MlflowException("no such run at http://me:planted@host", error_code=RESOURCE_DOES_NOT_EXIST)


def test_a_message_that_is_wrong_is_an_error_and_does_not_come_again(server):
    outbox = Outbox()
    with pytest.raises(MlflowException, match="no such run"):
        outbox.send("metric", refuse)
    outbox.send("a", server.take("a"))
    assert server.told == ["a"]


def test_a_server_that_comes_back_without_its_store_does_not_end_the_run(server, clock, caplog):
    outbox = Outbox()
    server.away = True
    outbox.send("a", server.take("a"))
    outbox.send("points", refuse)
    server.away = False
    clock[0] += module.PAUSE + 1
    outbox.send("report", refuse)
    assert server.told == ["a"]
    assert caplog.messages[-1] == "MLflow's server is back, and refuses: no such run at http://host"
    assert outbox.close() == ["points", "report"]


def test_too_late_is_too_late(server):
    """After a failure, the files that messages are about are no longer this run's."""
    outbox = Outbox()
    server.away = True
    outbox.send("report", server.take("report"))
    server.away = False
    assert outbox.close(deliver=False) == ["report"]
    assert server.told == []


def test_a_try_that_takes_long_is_seldom_made(clock):
    outbox = Outbox()
    asked = []

    def hang():
        asked.append(clock[0])
        clock[0] += 60
        raise requests.Timeout

    for _ in range(900):
        outbox.send("points", hang)
        clock[0] += 1
    assert len(asked) == 2
    assert asked[1] - asked[0] > 9 * 60


def answer(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


def after(error, outer):
    """As MLflow and kedro wrap what they catch."""
    try:
        try:
            raise error
        except Exception as inner:
            raise outer from inner
    except Exception as wrapped:
        return wrapped


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (requests.ConnectionError("refused"), True),
        (requests.exceptions.RetryError("too many 503"), True),
        (after(requests.ConnectionError("refused"), MlflowException("API request failed")), True),
        (after(requests.ConnectionError("refused"), DatasetError("Failed while saving")), True),
        (RestException({"error_code": "INTERNAL_ERROR", "message": "disk"}), True),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "run"}), False),
        (answer(503), True),
        (answer(403), False),
        (MlflowException("the example does not fit the signature"), False),
        (after(OSError(28, "No space left on device"), DatasetError("Failed while saving")), False),
        (ValueError("a bug"), False),
    ],
    ids=repr,
)
def test_what_counts_as_gone(error, gone):
    assert is_gone(error) == gone


def test_only_that_it_is_gone_is_let_pass(caplog):
    with unless_gone():
        raise requests.ConnectionError
    assert caplog.messages == ["MLflow's server is gone: it was not told that the run has ended"]
    with pytest.raises(MlflowException, match="no such run"), unless_gone():
        refuse()
