"""The few places on disk that are not in the catalog, and how a place is told."""

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
DATA = PROJECT_ROOT / "data"
CHECKPOINTS = DATA / ".checkpoints"
FEATURES = DATA / "04_feature"
environment = ""
"""The catalog's ``globals:environment`` of this run, empty or ``<name>/``; set as the run begins."""


def relative(path: Path) -> str:
    """As the user sees it from the project's root."""
    return str(path.relative_to(PROJECT_ROOT) if path.is_relative_to(PROJECT_ROOT) else path)


def kedro_run(pipeline: str) -> str:
    """The command that runs a pipeline in the environment of this run."""
    option = f"--env={environment.rstrip('/')} " if environment else ""
    return f"kedro run {option}--pipeline={pipeline}"


def checkpoint_path(*names: str) -> Path:
    """Where a training keeps its checkpoint until it succeeds; outside everything DVC cleans."""
    return CHECKPOINTS / environment / f"{'-'.join(names)}.safetensors"


def feature_path(method: str) -> Path:
    """The folder for what a method computes once and may reuse; never in git or DVC."""
    return FEATURES / environment / method
