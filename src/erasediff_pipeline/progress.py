"""Progress bars on a terminal and in a notebook, plain lines in a log."""

import sys
import threading
from collections.abc import Iterable
from typing import Any

from tqdm import asyncio, auto, std

SECONDS = 5.0
"""Minimum seconds between two lines."""


def show_progress(
    iterable: Iterable[Any] | None = None, desc: str | None = None, total: int | None = None, **options: Any
) -> std.tqdm:
    """Return a progress bar with the interface of tqdm.

    If standard error (or the option ``file``) is not a terminal, it writes a plain line at the start, every
    few seconds, and at the end. A log would keep thousands of redraws of a bar, all in one line.

    Args:
        iterable: What to iterate over; without one, call ``update``.
        desc: Title of the bar.
        total: Number of iterations, if ``iterable`` has no length.
        options: Further options of tqdm. ``unit`` is in the singular.
    """
    in_notebook = auto.tqdm is not asyncio.tqdm
    if in_notebook or (options.get("file") or sys.stderr).isatty():
        return auto.tqdm(iterable, desc, total, **options)
    return _Lines(iterable, desc, total, mininterval=SECONDS, miniters=1, bar_format=_LINE, **options)


_LINE = "{desc}: {unit} {n_fmt}/{total_fmt}, {elapsed} elapsed, {remaining} left{postfix}"


class _Lines(std.tqdm):
    disable: bool
    monitor_interval = 0  # ``miniters`` is fixed: no thread needs to correct it
    _lock = threading.RLock()  # tqdm's own lock is shared with forked processes, which may be killed
    _line, _next_time = "", 0.0

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Write a line, unless the last one was just written."""
        if self._time() >= self._next_time:
            self._write_line()
        return True

    def close(self) -> None:
        """Write the last line."""
        if not self.disable:
            self._write_line()
            self.disable = True
            self._decr_instances(self)

    def _write_line(self) -> None:
        self._next_time = self._time() + SECONDS
        line, self._line = self._line, str(self)
        if line != self._line:
            self.fp.write(f"{self._line}\n")
            self.fp.flush()
