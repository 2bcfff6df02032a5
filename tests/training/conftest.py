"""The same data and checkpoints as the methods' tests."""

from tests.unlearning.conftest import data, own_checkpoints  # noqa: F401
