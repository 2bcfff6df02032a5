import pytest
from kedro.io import DatasetError
from mlflow.exceptions import MlflowException
from requests.exceptions import ConnectionError as NoConnection

from erasediff_pipeline.tracking import outbox as module
from erasediff_pipeline.tracking.outbox import Outbox, is_gone


class Server:
    """One that can be away."""

    def __init__(self):
        self.away, self.told, self.asked = False, [], 0

    def take(self, message):
        def deliver():
            self.asked += 1
            if self.away:
                raise NoConnection("refused")
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


def test_a_message_that_is_wrong_is_an_error_and_does_not_come_again(server):
    outbox = Outbox()

    def refused():
        raise MlflowException("no such metric", error_code=3001)

    with pytest.raises(MlflowException, match="no such metric"):
        outbox.send("metric", refused)
    outbox.send("a", server.take("a"))
    assert server.told == ["a"]


def wrapped(error):
    try:
        raise DatasetError("Failed while saving") from error
    except DatasetError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (NoConnection("refused"), True),
        (MlflowException("API request failed"), True),
        (MlflowException("wrong", error_code=3001), False),
        (wrapped(NoConnection("refused")), True),
        (wrapped(OSError(28, "No space left on device")), False),
        (ValueError("a bug"), False),
    ],
    ids=repr,
)
def test_what_counts_as_gone(error, gone):
    assert is_gone(error) == gone
