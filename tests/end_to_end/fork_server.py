"""``kedro`` command after command, each in a process of its own, importing torch and the like only once.

A job is a line of JSON on the standard input: ``args`` (of ``kedro``, or a script's path and its own),
``cwd``, ``env``, ``log``; the answer is one on the file descriptor named by the first argument: ``code`` and
``peak_memory``. Nothing of the project is imported before the fork, so a child is what ``kedro …`` is after
its first seconds.
"""

import gc
import json
import os
import runpy
import sys

import accelerate  # noqa: F401
import cryptography.hazmat.primitives.asymmetric.ec  # noqa: F401
import diffusers  # noqa: F401
import git  # noqa: F401
import IPython  # noqa: F401
import kedro_mlflow.framework.hooks  # noqa: F401
import kedro_viz.launchers.cli.main  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import mlflow.pyfunc
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
import scipy.stats  # noqa: F401
import torch  # noqa: F401
import torch_fidelity  # noqa: F401
from diffusers import DDPMPipeline, UNet2DModel  # noqa: F401
from kedro.framework.cli.cli import main
from kedro_datasets import json as json_datasets  # noqa: F401
from sklearn.model_selection import train_test_split  # noqa: F401


def become(job):
    """Turn this process into the one that the job describes."""
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if job["args"][0].endswith(".py"):
        sys.argv = job["args"]
        sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
        # What PYTHONPATH of the job says; the interpreter has read that of the server.
        sys.path[1:1] = job["env"]["PYTHONPATH"].split(os.pathsep)
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        sys.argv = ["kedro", *job["args"]]
        main()


gc.collect()
gc.freeze()  # a child's collector would touch, so copy, every page of what was imported
answers = os.fdopen(int(sys.argv[1]), "w")
for line in iter(sys.stdin.readline, ""):
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        become(job)
        sys.exit(0)
    _, status, usage = os.wait4(child, 0)
    answer = {"code": os.waitstatus_to_exitcode(status), "peak_memory": usage.ru_maxrss * 1024}
    print(json.dumps(answer), file=answers, flush=True)
