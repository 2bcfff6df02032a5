"""The base class of all settings, and types that several of them use."""

from numbers import Integral
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo, field_validator

ModelFolder = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""Name of a model's folder below ``data/06_models``."""


class Settings(BaseModel):
    """Immutable; unknown keys, NaN, infinity, and true or false for a number are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def unread(self) -> dict[str, str]:
        """Fields that other ones make idle, and why."""
        return {}

    @field_validator("*", mode="before")
    @classmethod
    def _no_number(cls, value: Any, info: ValidationInfo) -> Any:
        allowed = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and not {allowed, *get_args(allowed)}.isdisjoint({int, float}):
            raise ValueError("expected a number")
        return value


def as_list(value: Any) -> Any:
    """Turn one value into a list of one, as in ``--params=forget.classes=3``."""
    return value if isinstance(value, list | tuple | dict) or value is None else [value]


def as_names(value: Any) -> Any:
    """Turn one text with spaces into a list of names, as in ``--params='compare.methods=esd salun'``."""
    return value.split() if isinstance(value, str) else as_list(value)


def as_words(value: Any) -> Any:
    """Turn one word into a list of one, and ``3``, which the command line reads as a number, into "3"."""
    return [str(v) if isinstance(v, int) else v for v in as_list(value)] if value is not None else None


def as_class(value: Any) -> int | str:
    """The number or the name of a class."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    raise ValueError(
        "expected the number or the name of a class; a name that YAML reads as something else needs quotes"
    )


ClassName = Annotated[int | str, PlainValidator(as_class)]
"""Number or name of a class; several of either may stand in one text, with spaces between."""
