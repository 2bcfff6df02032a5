"""The same bench as the pipelines' tests."""

from tests.pipelines.conftest import bench  # noqa: F401
