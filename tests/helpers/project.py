"""A copy of the repository as a fresh clone has it, and the commands that a user types in it.

Loaded by ``conftest.py``, since the services are tested on the same run.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import mlflow
import pytest
import yaml
from filelock import FileLock

from tests.helpers.in_process import run_kedro

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
QUICK = "unlearn.steps=2,unlearn.batch_size=32,sampling.steps=3,gates.enforce=false"
QUICK += ",evaluation.forget_samples=8,evaluation.retain_samples=8,evaluation.max_samples=8"
"""Parameters of a run that is whole but small."""
UNLEARN = "--pipeline=unlearn"
SHORT = {"steps": 2, "batch_size": 32}
TINY = {
    **dict.fromkeys(("unlearn", "finetune", "neggrad", "random_label", "esd", "pretrain"), SHORT),
    "salun": {**SHORT, "mask_batches": 1},
    "erasediff_robust": {**SHORT, "attack_steps": 1},
    "selective_amnesia": {**SHORT, "replay_images": 18, "fisher_batches": 1, "fisher_batch_size": 4},
    "blindspot": {**SHORT, "proxy_steps": 2},
    "sampling": {"steps": 3},
    "evaluation": {"forget_samples": 8, "retain_samples": 8, "max_samples": 8},
    "gates": {"enforce": False},
}
"""The same for every method."""
METRICS = {f"forget_{key}" for key in ("accuracy", "accuracy_by_class", "probability", "entropy", "samples")}
METRICS |= {"forget_membership_auc", "retain_accuracy", "retain_samples", "real_images"}
METRICS |= {"fid", "fid_low", "fid_high", "fid_backend", "fid_weights_sha256"}
METRICS |= {"precision", "recall", "kid", "kid_low", "kid_high", "inception_score", "unguided", "forgotten"}
METRICS |= {"classifier_accuracy", "classifier_images"}
"""The keys of ``base`` and ``erased`` in ``metrics.json``."""
WRITTEN_ONCE = ("/.git/objects/", "/.dvc/cache/", "/mlartifacts/")
SETTINGS = ("MLFLOW_", "DVC_", "KEDRO_", "HF_", "DO_NOT_TRACK", "PYTHON", "GIT_", "MAKE", "MFLAGS")
"""What the caller's environment must not decide."""
PATIENCE = 1500
"""Seconds until a command counts as hung: some machines take ten times what others take."""
ENABLE = "`sudo apt-get install chromium postgresql dataset-fashion-mnist fonts-noto-color-emoji` enables it"
"""The one command; what else the tests need comes with the development requirements."""


class Finished(NamedTuple):
    """A command that has ended."""

    code: int
    output: str
    seconds: float
    peak_memory: int = 0
    """Bytes, the largest of its processes; of one in a process of its own."""


def clean_environment(project, **changes):
    """The environment of a user who has activated the virtual environment; the copy's code runs in it.

    One thread, since several of these tests run at a time.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS)}
    paths = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(project / "src")}
    return {**kept, **paths, "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1", **changes}


def wait_until(reached, process, log, every=0.1):
    """What ``reached()`` returns once it is true; the log tells why if the process ends before, or hangs."""
    deadline = time.monotonic() + PATIENCE
    while not (found := reached()):
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(every)
    return found


@contextmanager
def held(run):
    """The run stands still within the block."""
    run.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        run.send_signal(signal.SIGCONT)


def new_log(directory):
    return directory / f"output-{time.monotonic_ns()}.txt"


def start_command(project, *command, cwd=None, env=None, **changes):
    """This command in a process of its own, as a user types it; ``log`` has both of its streams."""
    log = new_log(project.parent)
    place = {"cwd": cwd or project, "env": env or clean_environment(project, **changes)}
    with log.open("wb") as sink:
        streams = {"stdin": subprocess.DEVNULL, "stdout": sink, "stderr": subprocess.STDOUT}
        process = subprocess.Popen([str(part) for part in command], **place, **streams)
    process.log = log
    return process


def run_command(project, *command, check=True, **options):
    """Run it to its end; ``check``: it must succeed."""
    started, process = time.perf_counter(), start_command(project, *command, **options)
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, output = time.perf_counter() - started, process.log.read_text()
    assert not check or process.returncode == 0, output
    return Finished(process.returncode, output, seconds, usage.ru_maxrss * 1024)


def kedro_run(project, *arguments, **options):
    """``kedro run …`` as a user types it."""
    return run_command(project, BIN / "kedro", "run", *arguments, **options)


def dvc(project, *arguments, **options):
    """``dvc …``."""
    return run_command(project, BIN / "dvc", *arguments, **options)


def read_json(path):
    return json.loads(path.read_text())


def client_of(project):
    """MLflow's client of the project's own store."""
    return mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def runs_in(client):
    """All runs in that store, the last first."""
    experiment = client.get_experiment_by_name("erasediff_pipeline")
    return client.search_runs([experiment.experiment_id]) if experiment else []


def hash_tree(directory):
    """Every file's hash by its path, but for the lock of a run."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(directory)): sha256(path.read_bytes()).hexdigest() for path in files}


def kept(project):
    """All that a run writes: the results and MLflow's store."""
    return hash_tree(project / "data"), hash_tree(project / "mlartifacts")


def assert_one_line(run, *said):
    """The last line, and only it, says what is wrong and what is allowed."""
    assert run.code != 0, run.output
    assert "Traceback" not in run.output
    # Indented is what kedro logs of the exception where it comes from within a node.
    errors = [line for line in run.output.splitlines() if "Error" in line and not line.startswith(" ")]
    assert errors == run.output.splitlines()[-1:], run.output
    assert errors[0].startswith("Error: ")
    assert all(words in errors[0] for words in said), errors[0]


def configure(project, settings):
    """A user's own parameters, over those of ``conf/base``."""
    (project / "conf/local/parameters.yml").write_text(yaml.safe_dump(settings))


def git(directory, *arguments):
    """Output of a git command."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    command = ["git", "-C", str(directory), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def clone_checkout(target):
    """A clone of this checkout, with what is not committed yet as one more commit.

    Figures under ``data/`` that DVC has not recorded are left out: they are of a run of one's own, as
    `make unlearn` before `make test`, and on another machine they differ in the last digits.
    """
    git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(target))
    recorded = git(ROOT, "diff", "--name-only", "HEAD", "--", "dvc.lock")
    places = [] if recorded else ["--", ":(exclude)data"]
    changed = git(ROOT, "diff", "-z", "--name-only", "HEAD", *places)  # staged or not
    changed += git(ROOT, "ls-files", "-z", "--others", "--exclude-standard", *places)
    for name in {*changed.split("\0")} - {""}:
        (target / name).unlink(missing_ok=True)
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    git(target, "add", "--all")
    git(target, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", "the working tree")


class Made(NamedTuple):
    """A project, and the run that made it."""

    project: Path
    run: Finished | None
    model = property(lambda self: self.project / "data/06_models/erasediff")
    report = property(lambda self: self.project / "data/08_reporting/erasediff")


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """``once(name, make)``: a project that all processes of this test run share, and the run that made it.

    ``make(target)`` makes it, and may return what a command has said.
    """

    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent

    def get(name, make):
        place = shared / name
        told = place / "finished.json"
        with FileLock(shared / f"{name}.lock"):
            if not told.exists():
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                run = make(place / "project")
                told.write_text(json.dumps(run and run._asdict()))
        run = json.loads(told.read_text())
        return Made(place / "project", run and Finished(**run))

    return get


@pytest.fixture(scope="session")
def clone(once):
    """A fresh clone, before anything is pulled or run; read only."""
    return once("clone", clone_checkout)[0]


def copy_clone(clone, target):
    """A clone of its own for a test that changes it; what nobody writes to once it is there is shared."""

    def copy(source, place):
        (os.link if any(part in source for part in WRITTEN_ONCE) else shutil.copy2)(source, place)

    shutil.copytree(clone, target, symlinks=True, copy_function=copy)
    return target


@pytest.fixture(scope="session")
def project(clone, once):
    """A clone with the reference data and models; read only."""
    return once("pulled", lambda target: dvc(copy_clone(clone, target), "pull", "--quiet"))[0]


@pytest.fixture(scope="session")
def unlearned(project, once):
    """The main job, done once with the default settings; read only."""
    return once("unlearned", lambda target: kedro_run(copy_clone(project, target), UNLEARN))


@pytest.fixture(scope="session")
def earlier(project, once):
    """A project with a result in it, by a whole but small run; read only."""
    asked = UNLEARN, f"--params={QUICK}"
    return once("earlier", lambda target: kedro_run(copy_clone(project, target), *asked))


AUDIT = (
    "audit.samples=60,audit.relearning.steps=16,audit.relearning.samples=8,"
    "audit.inversion.restarts=1,audit.inversion.steps=60,audit.inversion.batch_size=16,sampling.steps=8,"
    # As few samples as these prove little.
    "gates.limits.leakage_unconditional.at_most=0.3,gates.limits.leakage_worst.at_most=0.3,"
    "gates.limits.damage_worst.at_least=0.7,gates.limits.membership_auc.at_most=0.4,"
    "gates.limits.relearning_area_forgotten.at_most=0.3"
)
"""Parameters of an audit that is in earnest, but brief."""


@pytest.fixture(scope="session")
def audited(unlearned, quick_run, once):
    """The project after ``kedro run --pipeline=audit``, and that run; the retrained model was pulled."""

    def make(target):
        copy_clone(unlearned.project, target)
        dvc(target, "pull", "data/06_models/compare/retrain/class-0-seed-0")
        return quick_run(target, "--pipeline=audit", f"--params={AUDIT}")

    return once("audited", make)


@pytest.fixture
def copy(earlier, tmp_path):
    """That project with its earlier result, for one test alone; it has an MLflow store of its own."""
    return copy_clone(earlier.project, tmp_path / "project")


class QuickRun:
    """``quick_run(project, …)``: ``kedro run …`` in this process; see ``in_process.py``."""

    def __init__(self, directory):
        self.directory = directory

    def __call__(self, project, *arguments, **options):
        """``kedro run`` with these arguments, to its end."""
        return self.command(project, "run", *arguments, **options)

    def command(self, project, *arguments, cwd=None, check=True, **changes):
        """``kedro …``; ``check``: it must succeed; ``changes`` are those of its environment."""
        log, started = new_log(self.directory), time.perf_counter()
        with log.open("w", buffering=1) as sink:
            code = run_kedro(arguments, cwd or project, clean_environment(project, **changes), sink)
        seconds, output = time.perf_counter() - started, log.read_text()
        assert not check or code == 0, output
        return Finished(code, output, seconds)

    def refuses(self, project, *arguments, said, **options):
        """``kedro run …`` ends with this one line, and all is as it was before; the commands in it."""
        before = kept(project)
        run = self(project, *arguments, check=False, **options)
        assert_one_line(run, *said)
        assert kept(project) == before
        return [shlex.split(command) for command in re.findall("`(.*?)`", run.output.splitlines()[-1])]

    def start(self, project, *arguments, **changes):
        """``kedro …`` in a child of this process, which can be killed; asked as ``subprocess.Popen`` is."""
        log = new_log(self.directory)

        def run():
            with log.open("w", buffering=1) as sink:
                sys.exit(run_kedro(arguments, project, clean_environment(project, **changes), sink))

        process = get_context("fork").Process(target=run)
        process.start()
        process.log, process.poll = log, lambda: process.exitcode
        process.send_signal = lambda number: os.kill(process.pid, number)
        process.wait = lambda: process.join(PATIENCE) or process.exitcode
        return process


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory):
    return QuickRun(tmp_path_factory.mktemp("quick"))


@pytest.fixture
def mount(tmp_path):
    """``mount(place, options)``: a mount that is gone after the test."""
    places = []

    def make(place, *arguments):
        try:
            subprocess.run(["mount", *arguments, str(place)], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"mounting is not permitted here: {getattr(error, 'stderr', None) or error}")
        places.append(place)

    yield make
    for place in reversed(places):
        subprocess.run(["umount", "--lazy", str(place)], check=True)
