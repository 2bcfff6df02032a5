"""A table of inputs: each gives this result, or is refused with these words."""

import pytest

from erasediff_pipeline.cli import explain
from erasediff_pipeline.errors import UserError


class Refused(tuple):
    """Words of the one line that refuses an input."""


def refused(*words):
    return Refused(words)


def check(answer, expected):
    """``answer()`` returns what is expected, or ends with one line that has these words."""
    if not isinstance(expected, Refused):
        assert answer() == expected
        return
    with pytest.raises(Exception) as error:  # noqa: PT011 - what the command line makes of it counts
        answer()
    line = error.value.message if isinstance(error.value, UserError) else explain(error.value)
    assert line is not None, error.value
    assert "\n" not in line
    assert len(line) < 800, line
    assert [word for word in expected if word not in line] == [], line
