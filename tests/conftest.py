"""The environment of every test, and the fixtures of all."""

import gc
import os
import signal

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Bytes and figures are those of the CPU, with a GPU there or not; GPU_TESTS=0 lets tests of one see it.
os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("GPU_TESTS", "")
os.environ.pop("TQDM_DISABLE", None)  # a bar that the caller has switched off is looked for, too
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the hub for anything
os.environ["OMP_NUM_THREADS"] = "1"  # as many tests run at a time as there are cores
# A shell that starts the tests in the background has Ctrl-C ignored, also by the commands of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

PLUGINS = tuple(f"tests.helpers.{name}" for name in ("toys", "project", "servers"))


def pytest_configure(config):
    """Load them where tests are run; the process that hands out the tests would spend its time on torch."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        for name in PLUGINS:
            config.pluginmanager.import_plugin(name)


def pytest_collection_finish():
    """A full collection of garbage need not look at torch, MLflow and all tests each time."""
    gc.collect()
    gc.freeze()
