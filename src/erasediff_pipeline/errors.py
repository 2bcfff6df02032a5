"""The errors a user can cause, each shown as one line and a non-zero exit status."""

import re

import click


class UserError(click.ClickException):
    """Something the user can mend: the message names the key or file, the value and what is allowed.

    A ``ClickException``, so the command line prints ``Error: <message>`` and exits with 1, without a
    traceback.
    """


class InvalidParameter(UserError):
    """A parameter is misspelt, out of range, or contradicts another."""


class InvalidRequest(UserError):
    """The forget request does not fit the data."""


class GatesFailed(UserError):
    """The result is there, and a figure of it misses its limit."""


class MissingInput(UserError):
    """A file or model that the pipeline reads is not there, or is not what it should be."""


def hide_credentials(text: str) -> str:
    """The same without what stands before the host of an address."""
    return re.sub(r"(?<=://)[^/\s]+@", "", text)
