"""kedro-mlflow's hook, for runs that continue without MLflow's server."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import mlflow
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol, MemoryDataset
from kedro.pipeline import Pipeline
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook

from erasediff_pipeline.config.deciding import as_plain
from erasediff_pipeline.tracking.numbers import flatten
from erasediff_pipeline.tracking.outbox import Outbox, is_away
from erasediff_pipeline.tracking.store import check_address, connect_once, follow_project, tracking_uri

logger = logging.getLogger(__name__)
ON_LOG, OUTBOX = "on_log", "outbox"
"""Inputs of nodes that log while they run: ``TrackRun.log_scalars``, and the outbox itself."""


class TrackRun(MlflowHook):
    """Track a run by kedro-mlflow. If the server goes away, the run continues and names what is missing.

    A server that is missing at the start is an error, before any work.
    ``settings.py`` disables kedro-mlflow's own hook, which this one replaces.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox()
        self.owns_run = True

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Connect to MLflow's store."""
        check_address()
        follow_project()
        connect_once(tracking_uri())
        super().after_context_created(context)

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Start MLflow's run. What is saved to MLflow from here on goes through the outbox."""
        self.outbox = Outbox()
        self.owns_run = mlflow.active_run() is None
        super().before_pipeline_run(run_params, pipeline, catalog)
        for name, value in {ON_LOG: self.log_scalars, OUTBOX: self.outbox}.items():
            if name in pipeline.inputs():
                catalog[name] = MemoryDataset(value, copy_mode="assign")
        for name in pipeline.all_outputs():
            dataset: Any = catalog.get(name)
            if getattr(dataset, "_logging_activated", False):
                dataset.save = partial(self._save, name, dataset, dataset.save)

    @hook_impl
    def before_node_run(self, inputs: dict[str, Any]) -> None:
        """Log the node's parameters, flat, in one request; kedro-mlflow sends one for each."""
        if not self._is_mlflow_enabled:
            return
        if mlflow.active_run() is None:  # in another thread
            mlflow.start_run(self.run_id)
        given = {name[7:]: value for name, value in inputs.items() if name.startswith("params:")}
        if given:
            self.outbox.send("parameters", partial(mlflow.log_params, flatten(as_plain(given))))

    def log_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Log one point of each curve to the run, if there is one."""
        if mlflow.active_run() is not None:
            self.outbox.send("points of the curves", partial(mlflow.log_metrics, scalars, step=step))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Send queued calls, and end MLflow's run."""
        self.outbox.deliver()
        self.end("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """End MLflow's run. Queued calls are not sent, since their files have been rolled back."""
        self.end("FAILED")

    def end(self, status: str) -> None:
        """End MLflow's run, and log what MLflow did not receive. On ctrl-C, Kedro calls no hook."""
        missing = self.outbox.missing()
        try:
            if self.owns_run:
                mlflow.end_run(status)
        except Exception as error:  # an unreachable server must not hide the error that ended the run
            if not is_away(error):
                raise
            missing.append("the end of the run")
        if missing:
            logger.warning("MLflow did not receive: %s. Results are in data/.", ", ".join(missing))

    def _save(self, name: str, dataset: Any, save: Callable[[Any], None], data: Any) -> None:
        """Save a dataset that logs to MLflow. The file of an artifact is written in any case."""
        log = partial(save, data)
        if hasattr(dataset, "artifact_path"):
            dataset._logging_activated = False
            save(data)
            log = partial(mlflow.log_artifact, str(dataset._filepath), dataset.artifact_path)
        self.outbox.send(name, log)
