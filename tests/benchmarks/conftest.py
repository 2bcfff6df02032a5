"""The benchmarks erase a class of the toy images, as the methods do."""

from tests.unlearning.conftest import data  # noqa: F401
