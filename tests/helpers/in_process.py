"""``kedro …`` by Kedro's own command line within this process, which has imported what takes eight seconds.

The code is that of this checkout; settings, data and MLflow's store are those of the project that the command
runs in. What it changes in the process is undone: the environment, MLflow's and accelerate's state, logging.
"""

import logging
import os
import sys
import traceback
import warnings
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from unittest.mock import patch

import mlflow
import torch
from accelerate.state import AcceleratorState
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.project import LOGGING, settings
from kedro.utils import find_kedro_project


def run_kedro(arguments, cwd, environment, log):
    """The exit code; ``log`` is an open file for both streams."""
    argv = ["kedro", *map(str, arguments)]
    with as_if_started(argv, cwd, environment), redirect_stdout(log), redirect_stderr(log):
        LOGGING.configure(LOGGING.data)  # its handlers are pytest's in between
        try:
            KedroCLI(find_kedro_project(cwd))(sys.argv[1:], prog_name="kedro")
        except SystemExit as ended:
            return ended.code or 0
        except BaseException:  # what the interpreter does with it
            traceback.print_exc()
            return 1
        finally:
            # The end of a process: MLflow closes its run, and the system lets go of the lock.
            with suppress(Exception):
                mlflow.end_run()
            for hook in settings.HOOKS:
                getattr(hook, "release_lock", lambda: None)()


@contextmanager
def as_if_started(argv, cwd, environment):
    """In here, the process is as one that begins; after it, as it was before."""
    deterministic, level = torch.are_deterministic_algorithms_enabled(), logging.root.level
    # It takes credentials out of the environment, and makes the hooks, as it is imported.
    sys.modules.pop("erasediff_pipeline.settings", None)
    AcceleratorState._reset_state(reset_partial_state=True)
    with (
        chdir(cwd),
        patch.dict(os.environ, environment, clear=True),
        patch.object(sys, "argv", argv),
        patch.object(sys, "path", [*sys.path]),
        patch.object(logging.root, "handlers", []),
        patch("mlflow.tracking._tracking_service.utils._tracking_uri", None),
        patch("mlflow.tracking._model_registry.utils._registry_uri", None),
        patch("mlflow.tracking.fluent._active_experiment_id", None),
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=()),
    ):
        yield
    logging.root.setLevel(level)
    torch.use_deterministic_algorithms(deterministic)
    AcceleratorState._reset_state(reset_partial_state=True)
