"""The base class of all settings, and types that several of them use."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ModelFolder = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""Name of a model's folder below ``data/06_models``."""


class Settings(BaseModel):
    """Immutable; unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def as_list(value: Any) -> Any:
    """Turn one value into a list of one: a list cannot be typed in ``--params=forget.classes=3``."""
    return [value] if isinstance(value, int | str) and not isinstance(value, bool) else value


def as_words(value: Any) -> Any:
    """Turn one word into a list of one, and ``3``, which the command line reads as a number, into "3"."""
    return [str(v) if isinstance(v, int) else v for v in as_list(value)] if value is not None else None


def as_label(value: Any) -> Any:
    """Refuse the name of a class: only the source knows names."""
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?\d+\s*", value):
        raise ValueError("use the number of the class; `prepare` lists the numbers in source.json")
    return value


Label = Annotated[int, BeforeValidator(as_label)]
"""Number of a class."""
