"""The workspace as an input of nodes."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from erasediff_pipeline.workspace import Workspace


class WorkspaceDataset(AbstractDataset[Any, Workspace]):
    """Hands the workspace of this environment to a node.

    Args:
        filepath: The project's ``data`` folder; relative ones are below the project's root.
        environment: Empty, or ``<name>/``.
        metadata: Kept for plugins, not read here.
    """

    def __init__(self, filepath: str, environment: str = "", metadata: dict[str, Any] | None = None):
        self._workspace = Workspace(Path(filepath), environment)
        self.metadata = metadata

    def load(self) -> Workspace:
        return self._workspace

    def save(self, data: Any) -> None:
        raise DatasetError("a workspace is only read")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"data": str(self._workspace.data), "environment": self._workspace.environment}
