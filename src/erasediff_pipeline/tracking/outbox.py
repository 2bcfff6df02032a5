"""What MLflow is told, kept while its server cannot be reached: a run goes on without it."""

import logging
import time
from collections.abc import Callable

from mlflow.exceptions import MlflowException
from requests.exceptions import RequestException

logger = logging.getLogger(__name__)
PAUSE = 30.0
"""Seconds between two tries while the server is gone: each takes some, in which nothing is trained."""
GONE = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")
"""Error codes of an MLflow server that is down, or behind one that is."""


class Outbox:
    """Messages in their order; those that do not get through wait, and those behind them."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Callable[[], object]]] = []
        self.tried = -PAUSE

    def send(self, what: str, message: Callable[[], object]) -> None:
        """Let ``message`` reach MLflow, now or later; ``what`` names it to a person.

        Raises:
            Exception: Whatever the message raises, but that the server is gone.
        """
        self.waiting.append((what, message))
        if len(self.waiting) == 1 or time.monotonic() - self.tried > PAUSE:
            self.deliver()

    def deliver(self) -> None:
        """Send what waits, up to the first that does not get through."""
        while self.waiting:
            _, message = self.waiting[0]
            try:
                message()
            except Exception as error:
                if not is_gone(error):
                    self.waiting.pop(0)
                    raise
                if self.tried == -PAUSE:
                    logger.warning("MLflow's server is gone: the run goes on, what it should be told is kept")
                self.tried = time.monotonic()
                return
            self.waiting.pop(0)
        if self.tried != -PAUSE:
            logger.warning("MLflow's server is back: it has been told everything")
            self.tried = -PAUSE

    def close(self) -> list[str]:
        """Try once more, and forget the rest; returns what never got through, each once."""
        self.deliver()
        missing = list(dict.fromkeys(what for what, _ in self.waiting))
        self.waiting.clear()
        self.tried = -PAUSE
        return missing


def is_gone(error: BaseException) -> bool:
    """Whether it was the server that failed, and not what it was told; kedro wraps what a dataset raises."""
    if isinstance(error, RequestException):
        return True
    if isinstance(error, MlflowException):
        return error.error_code in GONE
    return error.__cause__ is not None and is_gone(error.__cause__)


outbox = Outbox()
"""Of this process, as MLflow's active run is."""
