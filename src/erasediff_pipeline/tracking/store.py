"""Address of MLflow's store."""

import logging
import os
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.store.db.utils import create_sqlalchemy_engine
from sqlalchemy import inspect, text
from sqlalchemy.exc import NoSuchTableError

from erasediff_pipeline.errors import InvalidParameter, UserError, hide_credentials
from erasediff_pipeline.paths import project_root

logger = logging.getLogger(__name__)


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or SQLite in the project's root, independent of the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_root() / 'mlflow.db'}"


def artifact_location() -> str | None:
    """The folder beside the project's own store; a server in ``MLFLOW_TRACKING_URI`` decides for itself."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else (project_root() / "mlartifacts").as_uri()


def separate_credentials() -> None:
    """Move a server's user and password out of ``MLFLOW_TRACKING_URI``, which MLflow prints.

    Without a password there, ``MLFLOW_TRACKING_PASSWORD`` stays: MLflow sends user and password together.
    """
    try:
        parts = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    except ValueError:  # the checks before a run say it in one line
        return
    userinfo, at, host = parts.netloc.rpartition("@")
    if at and parts.scheme in ("http", "https"):
        user, _, password = userinfo.partition(":")
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(user)
        if password:
            os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
        os.environ["MLFLOW_TRACKING_URI"] = parts._replace(netloc=host).geturl()


def check_address() -> None:
    """Refuse an address of a server that is none.

    Raises:
        InvalidParameter: ``MLFLOW_TRACKING_URI`` cannot be parsed.
    """
    try:
        _ = urlsplit(tracking_uri()).port
    except ValueError as error:
        said = hide_credentials(tracking_uri())
        raise InvalidParameter(
            f"MLFLOW_TRACKING_URI: {said}: {error}: expected http://<host>:<port> or a path"
        ) from None


def check_database(database: Path) -> None:
    """Refuse a damaged file of SQLite; an empty one is filled by MLflow.

    Raises:
        UserError: It is no database, or a part of it is missing.
    """
    try:
        with closing(sqlite3.connect(database)) as connection:
            damaged = connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok"
    except sqlite3.OperationalError as error:  # it may be whole
        raise UserError(f"{database}: {error}") from None
    except sqlite3.DatabaseError:
        damaged = True
    if damaged:
        aside = shlex.join(["mv", str(database), f"{database}.damaged"])
        raise UserError(f"{database} is damaged: restore it, or begin a new one: `{aside}`")


PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}
"""Columns of MLflow's database that hold absolute paths below the project."""


def follow_project() -> None:
    """Replace paths in the project's own store, if the project has been moved or copied.

    MLflow keeps the absolute path of an experiment's files: reports and weights would go to the old folder.

    Raises:
        UserError: The store is damaged.
    """
    database, new = project_root() / "mlflow.db", artifact_location()
    if new is None or not database.exists():
        return
    check_database(database)
    engine = create_sqlalchemy_engine(tracking_uri())
    try:
        present = {table: {c["name"] for c in inspect(engine).get_columns(table)} for table in PLACES}
    except NoSuchTableError:  # not MLflow's, or not filled yet: MLflow says so
        return
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT artifact_location FROM experiments")).scalars()
        moved = {old for old in rows if old and old.endswith("/mlartifacts") and old != new}
        for old in sorted(moved):
            for table, columns in PLACES.items():
                for column in set(columns) & present[table]:
                    connection.execute(
                        text(
                            f"UPDATE {table} SET {column} = :new || substr({column}, :length) "
                            f"WHERE {column} = :old OR {column} LIKE :below"
                        ),
                        {"new": new, "old": old, "length": len(old) + 1, "below": f"{old}/%"},
                    )
            logger.info("mlflow.db: the project was at %s: its paths are replaced", old)
    engine.dispose()


def connect_once(uri: str) -> None:
    """Connect once to a database of MLflow's store: MLflow alone would retry silently for 100 seconds.

    Raises:
        sqlalchemy.exc.OperationalError: The server does not answer, or the password is wrong; or the file
            cannot be opened.
    """
    name = uri.partition("?")[0].removeprefix("sqlite:///")
    in_a_folder = uri.startswith("sqlite:///") and Path(name).parent.is_dir()  # MLflow makes a missing one
    if in_a_folder or uri.startswith(("postgresql", "mysql", "mssql")):
        create_sqlalchemy_engine(uri).connect().close()
