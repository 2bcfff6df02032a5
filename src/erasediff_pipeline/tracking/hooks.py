"""kedro-mlflow's hooks, by way of the outbox."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import mlflow
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from mlflow.store.db.db_types import DATABASE_ENGINES, SQLITE
from mlflow.store.db.utils import create_sqlalchemy_engine
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from erasediff_pipeline.loader import tracking_uri
from erasediff_pipeline.tracking.outbox import outbox, unless_gone

logger = logging.getLogger(__name__)


class TrackAnyway(MlflowHook):
    """A run that MLflow was there for at the start goes on when its server is gone, and says what is missing.

    kedro-mlflow's own hooks are disabled in ``settings.py``: these are they.
    """

    run_id: str | None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read MLflow's settings, once its store is there."""
        connect_once(tracking_uri())
        super().after_context_created(context)

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Open the run; without a server this fails, before any work. Then wrap what saves to MLflow."""
        outbox.close(deliver=False)  # in a notebook, of a run that was interrupted
        super().before_pipeline_run(run_params, pipeline, catalog)
        for name in pipeline.all_outputs():
            dataset = catalog.get(name)
            if dataset is not None and hasattr(dataset, "_logging_activated"):
                dataset.save = by_outbox(name, dataset)

    @hook_impl
    def before_node_run(
        self, node: Node, catalog: CatalogProtocol, inputs: dict[str, Any], is_async: bool
    ) -> None:
        """Log the parameters in one message; kedro-mlflow would send one for each.

        It would also ask the server for the run, which is open here already.
        """
        run_id = self.run_id
        if mlflow.active_run() is not None:
            self.run_id = None  # it does not ask then
        self.parameters: dict[str, Any] = {}
        try:
            super().before_node_run(node, catalog, inputs, is_async)
        finally:
            self.run_id = run_id
        if self.parameters:
            outbox.send("parameters", partial(mlflow.log_params, self.parameters))

    def _log_param(self, name: str, value: Any) -> None:
        if len(str(value)) <= MAX_PARAM_VAL_LENGTH:
            self.parameters[name] = value
        else:  # what becomes of it is a setting of kedro-mlflow's
            outbox.send("parameters", partial(super()._log_param, name, value))

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Tell MLflow what waits and that the run has ended, or a person what MLflow was not told."""
        end = super().after_pipeline_run

        def close_run() -> None:
            if mlflow.active_run() is not None or not self._is_mlflow_enabled:
                end(run_params, pipeline, catalog)
            else:  # closed here in the first try, but MLflow was not there to be told
                mlflow.MlflowClient().set_terminated(str(self.run_id))

        outbox.send("the end of the run", close_run)
        say_what_is_missing(outbox.close())

    @hook_impl
    def on_pipeline_error(
        self, error: Exception, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Close the run as failed; that MLflow is gone, too, must not hide what has happened.

        What waits is not sent any more: the files that it is about have been put back.
        """
        say_what_is_missing(outbox.close(deliver=False))
        with unless_gone():
            super().on_pipeline_error(error, run_params, pipeline, catalog)


def connect_once(uri: str) -> None:
    """Connect to a database server that holds MLflow's store.

    Where nobody answers or the password is wrong, MLflow tries ten times, and says nothing for 100 seconds.

    Raises:
        sqlalchemy.exc.OperationalError: It refuses, or is not there.
    """
    engine = urlsplit(uri).scheme.partition("+")[0]
    if engine in DATABASE_ENGINES and engine != SQLITE:
        database = create_sqlalchemy_engine(uri)
        database.connect().close()
        database.dispose()


def say_what_is_missing(missing: list[str]) -> None:
    """In the log: the figures themselves are under ``data/``."""
    if missing:
        logger.warning("MLflow was not told: %s", ", ".join(missing))


def by_outbox(name: str, dataset: Any) -> Callable[[Any], None]:
    """What saves a dataset to MLflow, through the outbox; the file of an artifact is written at once."""
    save = dataset.save
    if not hasattr(dataset, "artifact_path"):
        return lambda data: outbox.send(name, partial(save, data))

    def write_then_send(data: Any) -> None:
        wanted, dataset._logging_activated = dataset._logging_activated, False
        try:
            save(data)
        finally:
            dataset._logging_activated = wanted
        if wanted:
            path = str(dataset._filepath)
            outbox.send(name, partial(mlflow.log_artifact, path, dataset.artifact_path))

    return write_then_send
