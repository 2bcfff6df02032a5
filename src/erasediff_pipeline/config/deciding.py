"""Which parameters decide a result."""

from typing import Any

from pydantic import BaseModel

DECIDING = {"seed", "base", "forget", "captions", "sampling", "evaluation"}
"""Sections that decide the result of every method."""


def settings_of(parameters: dict[str, Any], *sections: str) -> dict[str, Any]:
    """Select the parameters that decide a result, as plain values.

    Args:
        parameters: All parameters, by section.
        sections: Sections of the methods in question, beside ``DECIDING``.
    """
    keys = DECIDING | set(sections)
    return {key: value for key, value in as_plain(parameters).items() if key in keys}


def as_plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Turn validated sections, which Kedro mixes with plain ones, into plain values for JSON."""
    return {k: v.model_dump() if isinstance(v, BaseModel) else v for k, v in parameters.items()}
