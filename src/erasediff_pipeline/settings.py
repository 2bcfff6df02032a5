"""Kedro's wiring: https://docs.kedro.org/en/stable/configure/project_settings/"""

import logging
import os

from erasediff_pipeline.ranks import rank

# kedro, dvc and mlflow send telemetry by default; without a network, that costs seconds in every run.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# If MLflow's server is away, the outbox tries again later; more retries here would block the training.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

if rank() > 0:  # of several processes, only the first logs
    logging.disable(logging.WARNING)

from erasediff_pipeline.hooks import (
    CheckInputs,
    CheckPart,
    CheckRead,
    DeclarePlaces,
    EnforceGates,
    FollowFirstProcess,
    LoadOnce,
    RollBack,
    ShowSummary,
    SyncProcesses,
)
from erasediff_pipeline.loader import ProjectConfigLoader
from erasediff_pipeline.tracking.hooks import TrackRun
from erasediff_pipeline.tracking.store import artifact_location, separate_credentials, tracking_uri

separate_credentials()

# Among hooks with `tryfirst`, the one registered last is called first; with `trylast`, last.
HOOKS: tuple = (CheckInputs(), LoadOnce(), DeclarePlaces())
if rank() == 0:
    HOOKS += (CheckRead(), CheckPart(), SyncProcesses())
    HOOKS += (RollBack(), ShowSummary(), EnforceGates(), TrackRun())
else:
    HOOKS += (FollowFirstProcess(),)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow",)  # TrackRun takes its place
CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
    "custom_resolvers": {"tracking_uri": tracking_uri, "artifact_location": artifact_location},
}
