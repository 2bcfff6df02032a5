"""The methods: one line each."""

from collections.abc import Callable
from typing import Any, NamedTuple

from erasediff_pipeline.config import TrainingSettings, UnlearnSettings
from erasediff_pipeline.unlearning.erasediff import EraseDiff
from erasediff_pipeline.unlearning.method import Method


class Entry(NamedTuple):
    """How a method is built, and where its parameters are."""

    build: Callable[[Any], Method]
    settings: type[TrainingSettings]
    parameters: str
    """Top-level key of the parameters; also the name of the Kedro pipeline."""


METHODS = {"erasediff": Entry(EraseDiff, UnlearnSettings, "unlearn")}
