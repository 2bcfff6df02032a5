"""Errors that a user can cause; each is shown as one line, with a non-zero exit status."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

import click


class UserError(click.ClickException):
    """Something the user can fix: the message names the key or file, the value, and what is expected.

    As a ``ClickException``, it makes the command line print ``Error: <message>`` and exit with 1, without a
    traceback.
    """


class InvalidParameter(UserError):
    """A parameter is misspelt, out of range, or contradicts another one."""


class InvalidRequest(UserError):
    """The forget request does not fit the data."""


class GatesFailed(UserError):
    """The result is complete, but one of its figures misses its limit, or may miss it."""


class MissingInput(UserError):
    """A file or model that the pipeline reads is missing or damaged, or of the wrong kind."""


LONGEST = 300
"""Characters of a library's error that are shown."""


def in_one_line(error: BaseException) -> str:
    """What a library says, without line breaks and not longer than ``LONGEST``."""
    return " ".join(str(error).split())[:LONGEST]


def hide_credentials(text: str) -> str:
    """Remove user and password from every address in a text."""
    return re.sub(r"(?<=://)[^/\s]+@", "", text)


def did_you_mean(asked: str, known: Iterable[str]) -> str:
    """Name the nearest of the names that exist, for the middle of a message; empty if none is near."""
    nearest = get_close_matches(asked, list(known), n=1)
    return f", did you mean {nearest[0]!r}?" if nearest else ""
