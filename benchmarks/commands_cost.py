"""Costs of the commands beside training: start, split, processes."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import psutil
import torch

from erasediff_pipeline.config import ForgetRequest
from erasediff_pipeline.data.split import split_by_request
from erasediff_pipeline.training.memory import peak_memory, reset_peak_memory
from measured import Measured
from runs import ROOT, SWEEP, copy_reference

SHORT = (
    "gates.enforce=false,evaluation.forget_samples=20,evaluation.retain_samples=20,evaluation.max_samples=20"
)
RUNS = 3


def print_split(rows: int) -> None:
    """Split a manifest of a thousand classes by two of them; print seconds and MiB."""
    numbers = np.arange(rows)
    manifest = pd.DataFrame(
        {
            "id": [f"image-{i:07d}" for i in numbers],
            "label": numbers // 5 % 1000,
            "split": np.where(numbers % 5 == 0, "test", "train"),
            "sha256": [f"{i:064x}" for i in numbers],
        }
    )
    reset_peak_memory()
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    split_by_request(manifest, ForgetRequest(classes=[3, 5]))
    seconds = time.perf_counter() - started
    print(seconds, (peak_memory(torch.device("cpu")) - before) / 2**20)


def run_apart(command: list[str], **environment: str) -> str:
    """Run a command with an MLflow store of its own and return its output; exit if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **environment,
        }
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command[-4:])}\n{done.stdout}{done.stderr}")
    return done.stdout


def around_the_nodes() -> Measured:
    """Start, checks, reading, writing and MLflow of ``kedro run --pipeline=unlearn``.

    The first run creates MLflow's store, as a user's first run does; the median leaves it out.
    """
    copy_reference()
    parameters = f"--params={SHORT},unlearn.steps=2"
    timed_kedro = str(ROOT / "benchmarks/timed_kedro.py")
    command = [sys.executable, timed_kedro, "run", f"--env={SWEEP}", "--pipeline=unlearn", parameters]
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
        f"importing torch and diffusers takes {median(importing):.1f} s"
    )
    why = (
        "every run needs `DiffusionPipeline`, which imports all of torch and diffusers, and `log_model`, "
        "where MLflow reads the list of installed packages"
    )
    return Measured("seconds of `kedro run` outside its nodes", median(outside), 15, detail, why)


def timed(command: list[str], **environment: str) -> tuple[float, str]:
    """Seconds that a command takes, and its output."""
    started = time.perf_counter()
    told = run_apart(command, **environment)
    return time.perf_counter() - started, told


def split_of_a_million() -> list[Measured]:
    call = "import commands_cost; commands_cost.print_split(1_000_000)"
    seconds, mebibytes = map(float, run_apart([sys.executable, "-c", call]).split()[-2:])
    detail = "without the manifest itself, in a process of its own"
    return [
        Measured("seconds to split 1,000,000 rows", seconds, 3, detail),
        Measured("MiB to split 1,000,000 rows", mebibytes, 500, detail),
    ]


def two_processes() -> Measured:
    """Steps per second of the same short training in one process and in two, one thread each."""
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
        run_apart([*command, f"--env={SWEEP}", "--pipeline=unlearn", parameters], OMP_NUM_THREADS="1")
        told = json.loads((ROOT / f"data/08_reporting/{SWEEP}/erasediff/run.json").read_text())
        seconds[count] = told["cost"]["wall_seconds"]
    detail = f"{steps / seconds[2]:.2f} steps a second ÷ {steps / seconds[1]:.2f}, one thread each"
    return Measured(name, seconds[1] / seconds[2], None, detail)
