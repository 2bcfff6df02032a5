"""Kedro's wiring: https://docs.kedro.org/en/stable/configure/project_settings/"""

import logging
import os

from erasediff_pipeline.ranks import rank

# kedro, dvc and mlflow each phone home by default; where no route leads out, that costs seconds a run.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

if rank() > 0:  # of several processes, one tells what it does
    logging.disable(logging.WARNING)

from erasediff_pipeline.hooks import (
    CheckFirst,
    FlatParameters,
    GoTogether,
    KeepEarlierResult,
    ShowSummary,
)
from erasediff_pipeline.loader import (
    ProjectConfigLoader,
    artifact_location,
    tracking_uri,
)

HOOKS: tuple = (CheckFirst(), FlatParameters(), GoTogether())
if rank() == 0:
    HOOKS += (KeepEarlierResult(), ShowSummary())
DISABLE_HOOKS_FOR_PLUGINS = () if rank() == 0 else ("kedro_mlflow",)
CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
    "custom_resolvers": {"tracking_uri": tracking_uri, "artifact_location": artifact_location},
}
