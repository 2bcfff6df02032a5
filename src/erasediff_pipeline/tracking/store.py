"""Address of MLflow's store."""

import os
from urllib.parse import unquote, urlsplit

from mlflow.store.db.utils import create_sqlalchemy_engine

from erasediff_pipeline.paths import project_root


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
    parts = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    userinfo, at, host = parts.netloc.rpartition("@")
    if at and parts.scheme in ("http", "https"):
        user, _, password = userinfo.partition(":")
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(user)
        if password:
            os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
        os.environ["MLFLOW_TRACKING_URI"] = parts._replace(netloc=host).geturl()


def connect_once(uri: str) -> None:
    """Connect once to a database server of MLflow's store: MLflow alone would retry silently for 100 seconds.

    Raises:
        sqlalchemy.exc.OperationalError: The server does not answer, or the password is wrong.
    """
    if uri.startswith(("postgresql", "mysql", "mssql")):
        create_sqlalchemy_engine(uri).connect().close()
