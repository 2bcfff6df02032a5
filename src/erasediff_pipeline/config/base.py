"""What all settings share."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ModelFolder = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""Name of a model's folder below ``data/06_models``."""


class Settings(BaseModel):
    """Immutable, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def as_words(value: Any) -> Any:
    """The same for words; ``3`` is the word "3", which the command line takes for a number."""
    return [str(v) if isinstance(v, int) else v for v in as_list(value)] if value is not None else None


def as_label(value: Any) -> Any:
    """Refuse the name of a class, which only the source knows."""
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?\d+\s*", value):
        raise ValueError("allowed is a class's number, as `prepare` lists them in source.json")
    return value


Label = Annotated[int, BeforeValidator(as_label)]
"""The number of a class."""


def as_list(value: Any) -> Any:
    """Let ``--params=forget.classes=3`` mean ``[3]``: the command line cannot type a list."""
    return [value] if isinstance(value, int | str) and not isinstance(value, bool) else value
