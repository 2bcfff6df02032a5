"""What the command costs around the training: start, split, processes."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from measured import Measured
from runs import ENVIRONMENT, ROOT, copy_reference

SHORT = "gates.enforce=false,evaluation.forget_samples=20,evaluation.retain_samples=20"
RUNS = 3
WATCHED = """
import sys, time
from kedro.framework.cli.cli import main
from kedro.pipeline.node import Node
spent, run = 0.0, Node.run
def timed(node, *arguments, **options):
    global spent
    began = time.perf_counter()
    try:
        return run(node, *arguments, **options)
    finally:
        spent += time.perf_counter() - began
Node.run = timed  # a hook would be lost when the command reads the project's settings
sys.argv = ["kedro", *sys.argv[1:]]
try:
    main()
finally:
    print(f"NODES {spent:.3f}", flush=True)
"""
SPLIT = """
import time
import numpy as np, pandas as pd, torch
import psutil
from erasediff_pipeline.config import CaptionSettings, ForgetRequest
from erasediff_pipeline.data.request import split_by_request
from erasediff_pipeline.training.memory import peak_memory, reset_peak_memory
n = 1_000_000
manifest = pd.DataFrame({
    "id": [f"image-{i:07d}" for i in range(n)],
    "label": np.arange(n) // 5 % 1000,
    "split": np.where(np.arange(n) % 5 == 0, "test", "train"),
    "sha256": [f"{i:064x}" for i in range(n)],
})
cpu = torch.device("cpu")
reset_peak_memory()
before = psutil.Process().memory_info().rss
started = time.perf_counter()
split_by_request(manifest, ForgetRequest(classes=[3, 5]), [], CaptionSettings())
seconds = time.perf_counter() - started
print(seconds, (peak_memory(cpu) - before) / 2**20)
"""


def run_apart(command: list[str], **environment: str) -> str:
    """What a command of this project prints, with a store of MLflow's own; where it fails, this ends."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", **environment}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command[-4:])}\n{done.stdout}{done.stderr}")
    return done.stdout


def around_the_nodes() -> Measured:
    """Start, checks, reading, writing and MLflow of ``kedro run --pipeline=unlearn``.

    The first of the runs makes MLflow's store, as a user's first one does: the median is without that.
    """
    copy_reference()
    parameters = f"--params={SHORT},unlearn.steps=2"
    command = [sys.executable, "-c", WATCHED, "run", f"--env={ENVIRONMENT}", "--pipeline=unlearn", parameters]
    outside, importing = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS):
            wall, told = timed(command, MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlflow.db")
            within = float(re.findall(r"NODES (\S+)", told)[-1])
            if not within:
                sys.exit("around_the_nodes: no node was timed")
            outside.append(wall - within)
            importing.append(timed([sys.executable, "-c", "from diffusers import DiffusionPipeline"])[0])
    detail = (
        f"median of {', '.join(f'{seconds:.1f}' for seconds in outside)}; "
        f"{median(importing):.1f} s is what torch and diffusers take to be imported"
    )
    why = (
        "every run needs `DiffusionPipeline`, which imports all of torch and diffusers, and `log_model`, "
        "where MLflow reads what is installed"
    )
    return Measured("seconds of `kedro run` outside its nodes", median(outside), 15, detail, why)


def timed(command: list[str], **environment: str) -> tuple[float, str]:
    """The seconds that a command takes, and what it prints."""
    started = time.perf_counter()
    told = run_apart(command, **environment)
    return time.perf_counter() - started, told


def split_of_a_million() -> list[Measured]:
    """Two classes of a thousand."""
    seconds, mebibytes = map(float, run_apart([sys.executable, "-c", SPLIT]).split()[-2:])
    detail = "beyond the manifest itself, in a process of its own"
    return [
        Measured("seconds to split 1,000,000 rows", seconds, 3, detail),
        Measured("MiB to split 1,000,000 rows", mebibytes, 500, detail),
    ]


def two_processes() -> Measured:
    """Steps a second of the same short training by one process and by two, a thread each."""
    name = "steps a second on two processes ÷ on one"
    if (os.cpu_count() or 1) < 2:
        return Measured(name, None, None, "not measured: one core")
    if torch.cuda.device_count() == 1:
        return Measured(name, None, None, "not measured: one GPU, which two processes cannot share")
    copy_reference()
    steps, seconds = 40, {}
    parameters = f"--params={SHORT},unlearn.steps={steps},unlearn.accumulation=2"
    torchrun = str(Path(sys.executable).parent / "torchrun")
    for count in (1, 2):
        command = [torchrun, "--standalone", "--nproc-per-node", str(count), "-m", "kedro", "run"]
        run_apart(
            [*command, f"--env={ENVIRONMENT}", "--pipeline=unlearn", parameters],
            OMP_NUM_THREADS="1",
        )
        told = json.loads((ROOT / f"data/08_reporting/{ENVIRONMENT}/erasediff/run.json").read_text())
        seconds[count] = told["cost"]["wall_seconds"]
    detail = f"{steps / seconds[2]:.2f} steps a second ÷ {steps / seconds[1]:.2f}, a thread each"
    return Measured(name, seconds[1] / seconds[2], None, detail)
