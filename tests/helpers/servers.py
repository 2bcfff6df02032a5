"""Real servers on this machine, each started for the tests that need it, and stopped after them."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import mlflow
import psycopg2
import pytest

from tests.helpers.project import BIN, ENABLE, PATIENCE, clean_environment, wait_until

POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(command, ready: Callable[[], bool], log: Path, stop=signal.SIGTERM, **options):
    """A server from when it is ready until the end of the block; killed whole, with what it has started."""
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True, **options)
    try:
        wait_until(ready, process, log)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, stop)
            process.wait(PATIENCE)


NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""``mlflow server`` starts processes for jobs that nothing here asks for."""
FLAGS = [f"--disable-{name}" for name in ("gpu", "background-networking", "component-update", "sync", "quic")]
FLAGS += ["--no-sandbox", "--no-first-run"]
BUCKET = "bucket"
KEYS = {"AWS_ACCESS_KEY_ID": "erasediff", "AWS_SECRET_ACCESS_KEY": "planted-s3-secret"}


@contextmanager
def pointed_to(uri):
    """MLflow's client of a store, to which ``mlflow`` itself is pointed meanwhile."""
    earlier = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient(uri)
    mlflow.set_tracking_uri(earlier)


class ObjectStore(NamedTuple):
    """An S3 endpoint with one bucket."""

    url: str
    folder: Path
    """Where its objects lie as files: a look past the protocol."""

    @property
    def environment(self):
        """What a client needs, as a user would set it."""
        place = {"AWS_DEFAULT_REGION": "us-east-1", "MLFLOW_S3_ENDPOINT_URL": self.url}
        return {**KEYS, **place, "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="session")
def object_store(tmp_path_factory):
    """rclone's S3 server, which checks signatures, on an empty bucket."""
    root, port = tmp_path_factory.mktemp("object store"), free_port()
    (root / "objects" / BUCKET).mkdir(parents=True)
    command = [BIN / "rclone", "serve", "s3", root / "objects", "--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", ",".join(KEYS.values()), "--config", root / "none.conf"]
    with running(command, lambda: answers(port), root / "log.txt"):
        yield ObjectStore(f"http://127.0.0.1:{port}", root / "objects" / BUCKET)


@pytest.fixture(scope="session")
def database():
    """The URI of an empty database of a PostgreSQL of its own."""
    if POSTGRES is None:
        pytest.skip(f"PostgreSQL is not installed: {ENABLE}")
    # Not below pytest's folder, which each run of pytest closes to other users than the one who runs it.
    with TemporaryDirectory(prefix="postgres-") as place, serve_database(Path(place)) as uri:
        yield uri


@contextmanager
def serve_database(folder):
    port, owner = free_port(), {}
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        user = pwd.getpwnam("postgres")
        owner = {"user": user.pw_uid, "group": user.pw_gid, "cwd": "/"}
        os.chown(folder, user.pw_uid, user.pw_gid)
    data, secret, log = (folder / name for name in ("data", "password", "log.txt"))
    secret.write_text("planted-postgres-secret")
    secret.chmod(0o644)
    initdb = [POSTGRES / "initdb", "-D", data, "-U", "mlflow", "--auth=scram-sha-256", f"--pwfile={secret}"]
    subprocess.run([*initdb, "-E", "UTF8"], check=True, capture_output=True, **owner)
    settings = {"host": "127.0.0.1", "port": port, "user": "mlflow", "password": secret.read_text()}

    def ready():
        with suppress(psycopg2.OperationalError):
            psycopg2.connect(dbname="postgres", **settings).close()
            return True

    command = [POSTGRES / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder]
    with running(command, ready, log, signal.SIGINT, **owner):  # SIGTERM would wait for its clients
        yield "postgresql+psycopg2://{user}:{password}@{host}:{port}/postgres".format(**settings)


@contextmanager
def serve_mlflow(folder, port, store, artifacts, stop=signal.SIGTERM, **changes):
    """``mlflow server``; its address."""
    options = {"host": "127.0.0.1", "port": port, "workers": 1}
    options |= {"backend-store-uri": store, "artifacts-destination": artifacts}
    command = [BIN / "mlflow", "server", *(f"--{name}={value}" for name, value in options.items())]
    place = {"env": clean_environment(folder, **NO_JOBS, **changes), "cwd": folder}
    with running(command, lambda: answers(port), folder / "log.txt", stop, **place):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def tracking_server(database, object_store, tmp_path_factory):
    """``mlflow server`` in front of PostgreSQL and the object store; its address."""
    folder, artifacts = tmp_path_factory.mktemp("mlflow server"), f"s3://{BUCKET}/mlflow"
    with serve_mlflow(folder, free_port(), database, artifacts, **object_store.environment) as address:
        yield address


@pytest.fixture(scope="module")  # as long as it runs, so does an event loop
def browser():
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip(f"chromium is not installed: {ENABLE}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()
