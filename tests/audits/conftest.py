"""The same judge and images as the evaluation's tests."""

from tests.evaluation.conftest import *  # noqa: F403
