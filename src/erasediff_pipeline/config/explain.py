"""A validation error as one line."""

from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from erasediff_pipeline.errors import did_you_mean

LONGEST = 80
"""Characters of a value that a message repeats."""


def explain_validation(error: ValidationError, settings: type[BaseModel]) -> str:
    """The first problem as one line: key, value, and what is expected.

    Args:
        error: Of ``settings.model_validate``.
        settings: The class that was validated.
    """
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if not key:
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        owner: Any = settings
        for part in first["loc"][:-1]:
            # A dictionary of settings: all of its values are of one type.
            within = get_args(owner)[1] if get_origin(owner) is dict else owner.model_fields[part].annotation
            owner = within if get_origin(within) is dict else _settings_in(within)
        near = did_you_mean(str(first["loc"][-1]), owner.model_fields)
        return f"{key}: unknown parameter{near}: choose one of {', '.join(owner.model_fields)}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = first["msg"].removeprefix("Value error, ")
    value = repr(first["input"])
    # A whole section would hide the message, which names what is wrong in it.
    return ": ".join([key, *([value] if len(value) <= LONGEST else []), message]) + more


def _settings_in(annotation: Any) -> Any:
    """The settings class in a field's type, which may also allow None."""
    return next((part for part in get_args(annotation) if part is not type(None)), annotation)
