"""The same bench as the pipelines' tests."""

from pipelines.conftest import bench  # noqa: F401
