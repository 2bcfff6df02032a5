"""The same data as the methods' tests."""

from tests.unlearning.conftest import data  # noqa: F401
