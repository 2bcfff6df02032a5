"""``kedro`` command after command, each in a process of its own, importing torch and the like only once.

``fork_server.py ADDRESS`` listens on this UNIX socket until its standard input ends. A client, see
``fork_client.py``, sends a job: ``args`` (of ``kedro``, or a script's path and its own), ``cwd``, ``env``;
then the file descriptors of its standard streams. It is told the process' number at once, and at its end the
exit code and the bytes of memory that it took; where the client is gone, the process is killed. Nothing of
the project is imported before the fork, so a child is what ``kedro …`` is after its first seconds.
"""

import atexit
import gc
import os
import resource
import runpy
import signal
import socket
import sys
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle

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

fork = get_context("fork")


def become(job, streams):
    """Turn this process into the one that the job describes."""
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.dont_write_bytecode = False
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    try:
        if job["args"][0].endswith(".py"):
            sys.argv = list(job["args"])
            sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
            # What PYTHONPATH of the job says; the interpreter has read that of the server.
            sys.path[1:1] = job["env"]["PYTHONPATH"].split(os.pathsep)
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            sys.argv = ["kedro", *job["args"]]
            main()
    finally:
        # multiprocessing ends without; the interpreter's own end would copy every page of what was imported.
        atexit._run_exitfuncs()


def serve(connection):
    """One job, to its end or to the client's."""
    job = connection.recv()
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


signal.signal(signal.SIGINT, signal.SIG_DFL)  # that of whoever started the tests
gc.collect()
gc.freeze()  # a child's collector would touch, so copy, every page of what was imported
with socket.socket(socket.AF_UNIX) as door:
    door.bind(sys.argv[1])
    door.listen()
    print("ready", flush=True)
    while sys.stdin not in wait([door, sys.stdin]):
        accepted = door.accept()[0]
        with Connection(accepted.detach()) as connection:
            fork.Process(target=serve, args=(connection,)).start()
