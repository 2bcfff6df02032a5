"""``kedro run``, which shows a user's error as one line instead of a traceback; ``keys``; ``versions``."""

import functools
import re
import shlex
import socket
import ssl
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import mlflow
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.project import settings
from kedro.io import DatasetError
from mlflow.exceptions import MlflowException
from omegaconf.errors import InterpolationKeyError
from safetensors import SafetensorError
from sqlalchemy.exc import OperationalError

from erasediff_pipeline.config import SigningSettings
from erasediff_pipeline.errors import UserError, did_you_mean, hide_credentials
from erasediff_pipeline.hooks import RollBack
from erasediff_pipeline.paths import project_root, relative
from erasediff_pipeline.tracking.hooks import TrackRun
from erasediff_pipeline.tracking.outbox import is_away
from erasediff_pipeline.tracking.store import tracking_uri
from erasediff_pipeline.tracking.versions import describe_version, find_versions

DRIVERS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
}
"""Modules of databases' drivers, and the packages that have them."""
KEDROS = ("Failed to find the pipeline", "Pipeline does not contain")
"""Errors of Kedro that name what is misspelt."""
LOGS = "logs"
"""Folder of the traces of errors that nobody foresaw."""
LONGEST = 500
"""Characters of an error that are shown."""
NETWORK = (ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)


@click.group()
def cli() -> None:
    """Commands of this project."""


def explain(error: BaseException) -> str | None:
    """Describe an error of disk, files, names or servers in one line; None for any other."""
    if is_away(error) and tracking_uri().startswith("http"):
        return f"MLFLOW_TRACKING_URI: {tracking_uri()}: MLflow's server cannot be reached, or fails"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            where = "network" if isinstance(cause, NETWORK) else "disk"
            return f"{cause.filename or where}: {cause.strerror}"
        if isinstance(cause, OperationalError):
            return " ".join(f"MLflow's store: {cause.orig}".split())
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    # A DatasetError names the file, also if one of the others is its cause.
    if isinstance(error, DatasetError | MlflowException | SafetensorError):
        return " ".join(str(error).split())
    if isinstance(error, ValueError) and str(error).startswith(KEDROS):
        return " ".join(str(error).split())
    if isinstance(error, MissingConfigException):
        return _explain_environment(error)
    if isinstance(error, InterpolationKeyError):
        return f"{' '.join(str(error.msg).split())}: name a parameter that exists, or put the text in quotes"
    if isinstance(error, ModuleNotFoundError) and error.name in DRIVERS:
        return f"MLFLOW_TRACKING_URI: its database needs a driver: pip install '{DRIVERS[error.name]}'"
    return None


def _explain_environment(error: MissingConfigException) -> str:
    """Name the environment that does not exist, and those that do."""
    missing = Path(re.sub(r".*: ", "", str(error)))
    known = sorted(folder.name for folder in missing.parent.glob("*/") if any(folder.glob("*.yml")))
    near = did_you_mean(missing.name, known)
    return f"--env={missing.name}: {relative(missing)} does not exist{near}: choose from {', '.join(known)}"


def keep_trace(error: Exception) -> str | None:
    """Write the trace of an error that nobody foresaw to a file; one line that names it, or None."""
    text = hide_credentials("".join(traceback.format_exception(error)))
    file = project_root() / LOGS / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.txt"
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


def with_one_line_errors(command: click.Command) -> click.Command:
    """Make a command end with one line and status 1, whatever the error.

    Commands in that line get the ``--env`` of this command.
    """
    callback = command.callback
    assert callback is not None  # kedro's own command

    @functools.wraps(callback)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
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
            line = explain(error) or keep_trace(error)
            if line is None:
                raise
            raise UserError(hide_credentials(line)) from error

    command.callback = guarded
    return command


cli.add_command(with_one_line_errors(kedro_run), "run")


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
    mlflow.set_tracking_uri(tracking_uri())
    found = find_versions(model, number, request)
    if not found:
        raise UserError("no such version in the registry: list all versions with `kedro versions`")
    click.echo("\n\n".join(describe_version(version) for version in found))


for command in (keys, versions):
    with_one_line_errors(command)
