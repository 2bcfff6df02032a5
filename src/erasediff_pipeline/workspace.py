"""Folders for checkpoints and features, outside DVC's outputs."""

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The folders of one environment; a catalog entry."""

    data: Path
    """The project's ``data`` folder."""

    environment: str = ""
    """Empty, or ``<name>/``, as in the paths of the catalog."""

    def checkpoint(self, *names: str) -> Path:
        """Path of a training's checkpoint; it is removed at the end of the training."""
        return self.data / ".checkpoints" / self.environment / f"{'-'.join(names)}.safetensors"

    def features(self, method: str) -> Path:
        """Folder of a method's reusable results: masks, Fisher diagonals, replay images, proxies."""
        return self.data / "04_feature" / self.environment / method

    def command(self, pipeline: str, parameters: str = "") -> str:
        """The command that runs a pipeline in this environment, with ``--params`` if there are any."""
        option = f"--env={shlex.quote(self.environment.rstrip('/'))} " if self.environment else ""
        given = f" --params={shlex.quote(parameters)}" if parameters else ""
        return f"kedro run {option}--pipeline={pipeline}{given}"
