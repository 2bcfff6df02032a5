"""Kedro's wiring: https://docs.kedro.org/en/stable/configure/project_settings/"""

import os

# kedro, dvc and mlflow each phone home by default; where no route leads out, that costs seconds a run.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from erasediff_pipeline.hooks import (
    CheckFirst,
    FlatParameters,
    KeepEarlierResult,
    ShowSummary,
)
from erasediff_pipeline.loader import (
    ProjectConfigLoader,
    artifact_location,
    tracking_uri,
)

HOOKS = (CheckFirst(), FlatParameters(), KeepEarlierResult(), ShowSummary())
CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
    "custom_resolvers": {"tracking_uri": tracking_uri, "artifact_location": artifact_location},
}
