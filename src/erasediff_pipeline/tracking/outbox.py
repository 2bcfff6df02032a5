"""What MLflow is told, kept while its server cannot be reached: a run goes on without it."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests
from mlflow.exceptions import RestException

from erasediff_pipeline.errors import hide_credentials

logger = logging.getLogger(__name__)
PAUSE = 30.0
"""Seconds, at least, between two tries while the server is gone; in a try, nothing is trained."""
SHARE = 10
"""At most one part in so many of a training's time goes into tries."""
UNREACHABLE = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.RetryError,
    requests.exceptions.ChunkedEncodingError,
)


class Outbox:
    """Messages in their order; those that do not get through wait, and those behind them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.waiting: list[tuple[str, Callable[[], object]]] = []
        self.missing: list[str] = []
        self.gone = False
        self.next_try = 0.0

    def send(self, what: str, message: Callable[[], object]) -> None:
        """Let ``message`` reach MLflow, now or later; ``what`` names it to a person.

        Raises:
            Exception: Whatever the message raises, but that the server is gone. Once it has been gone nothing
                is raised: one that comes back without its store refuses everything, and that is no reason to
                lose the run.
        """
        self.waiting.append((what, message))
        if not self.gone or time.monotonic() >= self.next_try:
            self.deliver()

    def deliver(self) -> None:
        """Send what waits, up to the first that does not get through."""
        refused = None
        while self.waiting:
            what, message = self.waiting[0]
            started = time.monotonic()
            try:
                message()
            except Exception as error:
                if is_gone(error):
                    self.note_that_it_is_gone(started)
                    return
                self.waiting.pop(0)
                if not self.gone:
                    raise
                self.missing.append(what)
                refused = error
                continue
            self.waiting.pop(0)
        if self.gone and refused is None:
            logger.warning("MLflow's server is back: it has been told everything")
        elif self.gone:
            said = " ".join(hide_credentials(str(refused)).split())
            logger.warning("MLflow's server is back, and refuses: %s", said)
        self.gone = self.gone and refused is not None

    def note_that_it_is_gone(self, started: float) -> None:
        """Say so once, and let the next try wait."""
        if not self.gone:
            logger.warning("MLflow's server is gone: the run goes on, what it should be told is kept")
        self.gone = True
        now = time.monotonic()
        self.next_try = now + max(PAUSE, SHARE * (now - started))

    def close(self, deliver: bool = True) -> list[str]:
        """Try once more, unless it is too late for that; forget the rest, and return what it was."""
        if deliver:
            self.deliver()
        missing = list(dict.fromkeys([*self.missing, *(what for what, _ in self.waiting)]))
        self.reset()
        return missing


def is_gone(error: BaseException | None) -> bool:
    """Whether the server has failed, and not what it was told; MLflow and kedro wrap what they catch."""
    while error is not None:
        if isinstance(error, UNREACHABLE):
            return True
        if isinstance(error, RestException):
            return error.get_http_status_code() >= 500
        if isinstance(error, requests.HTTPError) and error.response is not None:
            return error.response.status_code >= 500
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def unless_gone() -> Iterator[None]:
    """Let it pass that the server is gone, where there is nothing more to be done about it."""
    try:
        yield
    except Exception as error:
        if not is_gone(error):
            raise
        logger.warning("MLflow's server is gone: it was not told that the run has ended")


outbox = Outbox()
"""Of this process, as MLflow's active run is."""
