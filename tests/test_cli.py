"""What the command line says of an error; None is a bug, which keeps its traceback."""

import socket
import sqlite3
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import click
import mlflow
import pytest
import requests
from click.testing import CliRunner
from kedro.io import DatasetError
from sqlalchemy.exc import OperationalError

from erasediff_pipeline.cli import cli, explain, with_one_line_errors


def raised(error, cause=None):
    """The error as it comes out of a raise."""
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def failing(error):
    """A command that fails with this error."""

    @click.command()
    def command():
        raise error

    return CliRunner().invoke(with_one_line_errors(command))


def test_a_file_is_named():
    assert explain(PermissionError(13, "Permission denied", "data/x.csv")) == "data/x.csv: Permission denied"


def test_a_disk_without_a_file_name():
    assert explain(OSError(28, "No space left on device")) == "disk: No space left on device"


def test_the_cause_behind_a_dataset_error():
    error = raised(DatasetError("Failed while saving"), OSError(28, "No space left on device", "x.npy"))
    assert explain(error) == "x.npy: No space left on device"


def test_a_dataset_error_becomes_one_line():
    assert explain(DatasetError("Failed\n  while   loading.")) == "Failed while loading."


def test_mlflows_store():
    error = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
    assert explain(error) == "MLflow's store: database or disk is full"


def test_mlflows_store_behind_another_error():
    cause = OperationalError("INSERT", {}, sqlite3.OperationalError("database is locked"))
    assert explain(raised(RuntimeError("mlflow"), cause)) == "MLflow's store: database is locked"


class Failing(BaseHTTPRequestHandler):
    """A server whose store is gone."""

    def do_POST(self):
        self.send_error(503)

    def log_message(self, *arguments):
        pass


@pytest.fixture(params=["refused", "503"])
def port(request):
    server = HTTPServer(("127.0.0.1", 0), Failing)
    if request.param == "503":
        Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()
        server.server_close()
    else:
        server.server_close()  # nobody listens there
        yield server.server_port


def test_mlflows_server_is_named_and_its_password_is_not(port, monkeypatch):
    uri = f"http://user:planted-secret@127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Exception, match="planted-secret") as caught:  # as MLflow says it
        mlflow.MlflowClient(uri).search_experiments()
    said = (
        f"Error: MLFLOW_TRACKING_URI: http://127.0.0.1:{port}: MLflow's server cannot be reached, or fails\n"
    )
    assert failing(caught.value).output == said


def test_a_connection_without_a_server_of_mlflows_is_not_called_one(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    refused = raised(requests.ConnectionError("the hub"), ConnectionRefusedError(111, "Connection refused"))
    assert explain(refused) == "network: Connection refused"
    unnamed = raised(RuntimeError("the hub"), socket.gaierror(-3, "Temporary failure in name resolution"))
    assert explain(unnamed) == "network: Temporary failure in name resolution"


def test_an_unknown_pipeline():
    error = ValueError("Failed to find the pipeline named 'x'.\nDid you mean y?")
    assert explain(error) == "Failed to find the pipeline named 'x'. Did you mean y?"


@pytest.mark.parametrize("bug", [KeyError("x"), ValueError("shapes differ"), OSError("no errno")])
def test_a_bug_is_not_explained(bug):
    assert explain(bug) is None


def test_an_explained_error_is_one_line_and_a_status():
    result = failing(PermissionError(13, "Permission denied", "data/x.csv"))
    assert result.exit_code == 1
    assert result.output == "Error: data/x.csv: Permission denied\n"


def test_a_usage_error_stays_as_it_is():
    result = failing(click.UsageError("no such option"))
    assert result.exit_code == 2
    assert "Error: no such option" in result.output


def test_a_bug_comes_out_as_it_is():
    bug = KeyError("x")
    assert failing(bug).exception is bug


def test_run_is_kedros_own_with_all_its_options():
    assert {"--pipeline", "--params", "--env"} <= {o for p in cli.commands["run"].params for o in p.opts}
