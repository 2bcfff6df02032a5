"""``kedro run``, which shows a user's error as one line instead of a traceback; ``keys``; ``versions``."""

import functools
import os
import re
import shlex
import signal
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import mlflow
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.project import pipelines, settings
from kedro.io import DatasetError
from kedro.pipeline import Pipeline
from mlflow.exceptions import MlflowException
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from sqlalchemy.exc import DatabaseError

from erasediff_pipeline.config import SigningSettings
from erasediff_pipeline.errors import UserError, did_you_mean, hide_credentials
from erasediff_pipeline.hooks import RollBack
from erasediff_pipeline.options import with_checked_options
from erasediff_pipeline.paths import check_root, project_root, relative
from erasediff_pipeline.tracking.hooks import TrackRun
from erasediff_pipeline.tracking.outbox import is_away
from erasediff_pipeline.tracking.store import check_address, follow_project, tracking_uri
from erasediff_pipeline.tracking.versions import describe_version, find_versions

DRIVERS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
}
"""Modules of databases' drivers, and the packages that have them."""
KNOWN: dict[str, Callable[[Pipeline], Iterable[str | None]]] = {
    "Failed to find the pipeline": lambda whole: (),  # Kedro names the nearest
    "Pipeline does not contain nodes named": lambda whole: (node.name for node in whole.nodes),
    "Pipeline does not contain datasets": lambda whole: whole.datasets(),
    "Pipeline does not contain nodes with the following namespaces": lambda whole: (
        node.namespace for node in whole.nodes
    ),
    "Pipeline contains no nodes after": lambda whole: (tag for node in whole.nodes for tag in node.tags),
}
"""Errors of Kedro that name what is misspelt, and the names that exist."""
LOGS = "logs"
"""Folder of the traces of errors that nobody foresaw."""
LONGEST = 500
"""Characters of an error that are shown."""
NETWORK = (ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)


@click.group()
def cli() -> None:
    """Commands of this project."""


def explain(error: BaseException, asked: Iterable[str] = ()) -> str | None:
    """Describe an error of disk, files, names or servers in one line; None for any other.

    Args:
        error: The error.
        asked: Names of the pipelines that were to run; empty for the default one.
    """
    if is_away(error) and tracking_uri().startswith("http"):
        return f"MLFLOW_TRACKING_URI: {tracking_uri()}: MLflow's server cannot be reached, or fails"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):  # Kedro wraps it in one of its own
            return cause.message
        if isinstance(cause, OSError) and cause.strerror:
            where = "network" if isinstance(cause, NETWORK) else "disk"
            return f"{cause.filename or where}: {cause.strerror}"
        if isinstance(cause, DatabaseError):
            return " ".join(f"MLflow's store: {cause.orig}: {tracking_uri()}".split())
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    if isinstance(error, MlflowException):
        return _explain_mlflow(" ".join(str(error).split()))
    # A DatasetError names the file, also if one of the others is its cause.
    if isinstance(error, DatasetError | SafetensorError):
        return " ".join(str(error).split())
    if isinstance(error, ValueError) and str(error).startswith("Duplicate keys found in"):
        said = " ".join(str(error).split())  # Kedro names both files and the keys
        return f"{said}: leave each key in one of the files; a backup is read, too"
    if isinstance(error, ValueError) and str(error).startswith(tuple(KNOWN)):
        return _explain_name(" ".join(str(error).split()), asked)
    if isinstance(error, MissingConfigException):
        return _explain_environment(error)
    if isinstance(error, OmegaConfBaseException):
        return f"{' '.join(str(error.msg).split())}: name a parameter that exists, or put the text in quotes"
    if isinstance(error, ModuleNotFoundError) and error.name in DRIVERS:
        driver = shlex.quote(DRIVERS[error.name])
        return f"MLFLOW_TRACKING_URI: its database needs a driver: pip install {driver}"
    return None


def _explain_mlflow(said: str) -> str:
    """Add the variable that made MLflow look there, if there is one."""
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        if (value := os.environ.get(name)) and value in said:
            return f"{name}: {value}: {said}: `unset {name}`"
    said = said.replace("<database_uri>", shlex.quote(tracking_uri()))  # in a command of MLflow
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return f"MLFLOW_TRACKING_URI: {uri}: {said}" if uri else said


def _explain_name(said: str, asked: Iterable[str]) -> str:
    """Add the nearest name to what Kedro says of one that does not exist; without one, all of them."""
    names = next(names for start, names in KNOWN.items() if said.startswith(start))
    whole = sum((pipelines.get(name, Pipeline([])) for name in asked or ["__default__"]), Pipeline([]))
    known = sorted({name for name in names(whole) if name and not name.startswith("param")})
    misspelt = re.findall(r"'(.*?)'", said)
    near = [did_you_mean(name, known) for name in misspelt]
    if not known or (near and all(near)):
        return said.rstrip(".") + "".join(near)
    return f"{said.rstrip('.')}: choose from {', '.join(known)}"


def _explain_environment(error: MissingConfigException) -> str:
    """Name the environment that does not exist, and those that do."""
    missing = Path(re.sub(r".*: ", "", str(error)))
    known = sorted(folder.name for folder in missing.parent.glob("*/") if any(folder.glob("*.yml")))
    near = did_you_mean(missing.name, known)
    return f"--env={missing.name}: {relative(missing)} does not exist{near}: choose from {', '.join(known)}"


def keep_trace(error: Exception) -> str | None:
    """Write the trace of an error that nobody foresaw to a file; one line that names it, or None."""
    text = hide_credentials("".join(traceback.format_exception(error)))
    file = project_root() / LOGS / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S-%f}.txt"
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    except OSError:
        return None
    said = " ".join(str(error).split())
    said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return f"{said[:LONGEST]}: not foreseen; the whole trace is in {relative(file)}"


def _in_environment(message: str, environment: str | None) -> str:
    """Add ``--env`` to each ``kedro run …`` in a message, unless it is there already."""
    if not environment:
        return message
    return re.sub(r"\bkedro run (?!--env)", lambda _: f"kedro run --env={shlex.quote(environment)} ", message)


@contextmanager
def interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """Make these signals do what Ctrl-C does, so that the earlier result is put back; in the main thread.

    One that is ignored stays so: ``nohup`` lets a run outlive its terminal.
    """

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
    earlier = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def with_one_line_errors(command: click.Command) -> click.Command:
    """Make a command end with one line and status 1, whatever the error.

    Commands in that line get the ``--env`` of this command.
    """
    callback = command.callback
    assert callback is not None  # kedro's own command

    @functools.wraps(callback)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            with interrupted_by(signal.SIGTERM, signal.SIGHUP):
                return callback(*args, **kwargs)
        except UserError as error:
            raise type(error)(_in_environment(error.message, kwargs.get("env"))) from error
        except click.ClickException:
            raise
        except KeyboardInterrupt:  # Kedro calls no hook then
            for hook in settings.HOOKS:
                if isinstance(hook, RollBack):
                    hook.roll_back_if_running()
                elif isinstance(hook, TrackRun):
                    hook.end("KILLED")
            raise
        except Exception as error:
            asked = [kwargs["pipeline"]] if kwargs.get("pipeline") else kwargs.get("pipelines") or []
            line = explain(error, asked) or keep_trace(error)
            if line is None:
                raise
            raise UserError(hide_credentials(line)) from error

    command.callback = guarded
    return command


cli.add_command(with_one_line_errors(with_checked_options(kedro_run)), "run")


@cli.command()
@click.option("--private-key", default=SigningSettings().private_key, show_default=True, type=Path)
@click.option("--public-key", default=SigningSettings().public_key, show_default=True, type=Path)
def keys(private_key: Path, public_key: Path) -> None:
    """Make the keys that `sign` and `verify` use; existing keys are kept."""
    from erasediff_pipeline.evidence.signature import make_keys  # takes a second to import

    make_keys(project_root() / private_key, project_root() / public_key)
    click.echo(f"private key: {private_key} (keep it secret)")
    click.echo(f"public key:  {public_key} (share it)")


@cli.command()
@click.argument("model", required=False)
@click.option("--version", "number", type=int, help="One version of MODEL: its request, hashes and run.")
@click.option("--request", help="Versions made from this request: the first digits of its forget set's hash.")
def versions(model: str | None, number: int | None, request: str | None) -> None:
    """List versions of the model registry, each with its request and its run."""
    check_root()
    check_address()
    follow_project()
    mlflow.set_tracking_uri(tracking_uri())
    found = find_versions(model, number, request)
    if not found:
        raise UserError("no such version in the registry: list all versions with `kedro versions`")
    click.echo("\n\n".join(describe_version(version) for version in found))


for command in (keys, versions):
    with_one_line_errors(command)
