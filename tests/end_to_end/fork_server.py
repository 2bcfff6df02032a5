"""Command after command, ``kedro`` or ``dvc``, each in a process of its own, which has torch and the like.

It prints the address of a UNIX socket, and listens there until nobody has held a lease for some time. A
client, see ``fork_client.py``, asks for a lease, which lasts as long as its connection; or it sends a job:
``args`` (the program, or a script's path, and its arguments), ``cwd``, ``env``; then the file descriptors of
its standard streams. It is told the process' number at once, and at its end the exit code and the bytes of
memory that it took; where the client is gone, the process is killed. Nothing of the project is imported
before the fork, so a child is what the command is after its first seconds.
"""

import atexit
import gc
import inspect
import os
import resource
import runpy
import shutil
import signal
import socket
import sys
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle
from pathlib import Path
from tempfile import mkdtemp

sys.path.insert(0, str(Path(__file__).parents[2]))
import accelerate  # noqa: F401
import cryptography.hazmat.primitives.asymmetric.ec  # noqa: F401
import diffusers  # noqa: F401
import dvc.cli
import dvc.repo
import git  # noqa: F401
import huggingface_hub.constants
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
from kedro.framework.cli import cli as kedro_cli
from kedro_datasets import json as json_datasets  # noqa: F401
from mlflow.utils import requirements_utils
from sklearn.model_selection import train_test_split  # noqa: F401

from tests.end_to_end.fork_client import LISTENING

fork = get_context("fork")
PROGRAMS = {"kedro": kedro_cli.main, "dvc": dvc.cli.main}
UNTIL_IT_ENDS = 30
"""Seconds without a lease."""


def become(job, streams):
    """Turn this process into the one that the job describes."""
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.dont_write_bytecode = False
    # The library has read it as it was imported.
    huggingface_hub.constants.HF_HUB_OFFLINE = job["env"].get("HF_HUB_OFFLINE") == "1"
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.argv = list(job["args"])
    try:
        if sys.argv[0] in PROGRAMS:
            sys.exit(PROGRAMS[sys.argv[0]]())
        else:
            sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
            # What PYTHONPATH of the job says; the interpreter has read that of the server.
            sys.path[1:1] = job["env"]["PYTHONPATH"].split(os.pathsep)
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        # multiprocessing ends without; the interpreter's own end would copy every page of what was imported.
        atexit._run_exitfuncs()


def serve(connection, job):
    """One job, to its end or to the client's."""
    streams = [recv_handle(connection) for _ in range(3)]
    child = fork.Process(target=become, args=(job, streams))
    child.start()
    for stream in streams:
        os.close(stream)
    connection.send(child.pid)
    if child.sentinel not in wait([connection, child.sentinel]):
        child.kill()
        return  # there is nobody to tell
    child.join()
    peak_memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    connection.send((child.exitcode, peak_memory))


def listen(door):
    """Give leases and take jobs."""
    leases = []
    while ready := wait([door, *leases], timeout=None if leases else UNTIL_IT_ENDS):
        leases = [lease for lease in leases if lease not in ready]  # all that it can say is that it has ended
        if door in ready:
            connection = Connection(door.accept()[0].detach())
            try:
                job = connection.recv()
                if job is None:
                    connection.send(None)
                    leases.append(connection)
                    continue
                fork.Process(target=serve, args=(connection, job)).start()
            except (EOFError, OSError):  # it was killed as it asked, or there is no memory for it
                pass
            connection.close()


signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started the tests is meant: then the leases end
# Each process would look these up anew: dynaconf asks for the first, MLflow for the second.
inspect.stack()
requirements_utils._init_packages_to_modules_map()
gc.collect()
gc.freeze()  # a child's collector would touch, so copy, every page of what was imported
directory = mkdtemp(prefix="quick-")  # an address has at most 100 letters
try:
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{directory}/socket")
        door.listen()
        print(f"{LISTENING}{directory}/socket", flush=True)
        listen(door)
finally:
    shutil.rmtree(directory)
