"""The same judge and images as the evaluation's tests."""

from evaluation.conftest import *  # noqa: F403
