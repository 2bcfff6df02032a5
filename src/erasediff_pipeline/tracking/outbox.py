"""Calls to MLflow, queued while its server does not answer."""

import logging
import time
from collections import deque
from collections.abc import Callable

import requests
from mlflow.exceptions import RestException

from erasediff_pipeline.errors import hide_credentials

logger = logging.getLogger(__name__)
PAUSE, SHARE = 30.0, 10
"""A call blocks the training. After a failed one, wait PAUSE seconds, or SHARE × its duration if longer."""


class Outbox:
    """Makes calls to MLflow in their order. While the server is away they wait, and the run continues."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, Callable[[], object]]] = deque()
        self._refused: list[str] = []
        self._next_try = 0.0  # 0 until the server has been away

    def send(self, what: str, call: Callable[[], object]) -> None:
        """Make the call now, or later if the server is away. ``what`` names it in messages.

        Raises:
            Exception: Whatever the call raises, if the server has always been there. Later nothing is raised:
                a server that comes back without its store refuses everything, and the run goes on.
        """
        self._waiting.append((what, call))
        if time.monotonic() >= self._next_try:
            self.deliver()

    def deliver(self) -> None:
        """Make the queued calls, up to the first one that the server does not answer."""
        late = len(self._waiting) > 1
        while self._waiting:
            what, call = self._waiting.popleft()
            started = time.monotonic()
            try:
                call()
            except Exception as error:
                if is_away(error):
                    if not late:
                        logger.warning("MLflow's server does not answer. The run continues and tries again.")
                    now = time.monotonic()
                    self._next_try = now + max(PAUSE, SHARE * (now - started))
                    self._waiting.appendleft((what, call))
                    return
                if not self._next_try:
                    raise
                if what not in self._refused:
                    reason = " ".join(hide_credentials(str(error)).split())
                    logger.warning("MLflow refused %s: %s", what, reason)
                    self._refused.append(what)
        if late:
            logger.warning("MLflow's server is reachable again; queued calls were sent.")

    def missing(self) -> list[str]:
        """What MLflow did not receive so far."""
        return list(dict.fromkeys([*self._refused, *(what for what, _ in self._waiting)]))


def is_away(error: BaseException | None) -> bool:
    """Whether MLflow's server did not answer, or failed. MLflow and Kedro wrap the errors that they catch."""
    while error is not None:
        if isinstance(error, RestException):
            return error.get_http_status_code() >= 500
        if isinstance(error, requests.RequestException):
            return error.response is None or error.response.status_code >= 500
        error = error.__cause__ or error.__context__
    return False
