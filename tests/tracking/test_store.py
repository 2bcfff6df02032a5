import base64
import re
import sqlite3
import subprocess
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import mlflow
import pytest
from sqlalchemy.exc import OperationalError

from erasediff_pipeline.errors import InvalidParameter, UserError
from erasediff_pipeline.paths import CHECKOUT
from erasediff_pipeline.tracking.store import (
    artifact_location,
    check_address,
    connect_once,
    follow_project,
    separate_credentials,
    tracking_uri,
)


def test_the_store_is_in_the_project_unless_a_server_is_named(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{CHECKOUT}/mlflow.db"
    assert artifact_location() == f"file://{CHECKOUT}/mlartifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert tracking_uri() == "http://localhost:5000"
    assert artifact_location() is None


@pytest.fixture
def server():
    """MLflow's server without an experiment; ``asked_by`` has the credentials of each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            server.asked_by.add(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked_by = set()
        Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("given", "sent"), [("me:planted%40secret", b"me:planted@secret"), ("me", b"me:of another server")]
)
def test_the_server_gets_user_and_password_and_its_address_has_neither(server, monkeypatch, given, sent):
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "of another server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{given}@127.0.0.1:{server.server_port}")
    separate_credentials()
    assert tracking_uri() == f"http://127.0.0.1:{server.server_port}"
    assert not mlflow.MlflowClient(tracking_uri()).search_experiments()
    assert server.asked_by == {f"Basic {base64.b64encode(sent).decode()}"}


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "sqlite:////data/a@b.db", "postgresql://me:secret@host/mlflow", "databricks"]
)
def test_other_addresses_stay_as_they_are(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    separate_credentials()
    assert tracking_uri() == uri


@pytest.mark.parametrize(
    "uri", ["http://[::1", "http://localhost:port", "http://user:secret@localhost:99999"]
)
def test_an_address_that_is_none_is_one_line_without_the_password(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    separate_credentials()
    with pytest.raises(InvalidParameter, match="MLFLOW_TRACKING_URI: http://") as error:
        check_address()
    assert "secret" not in error.value.message


def damage(content, how):
    """The same database: cut by less than a page, by half, with a hole, or replaced by a text."""
    ways = {"end": content[:-1000], "half": content[: len(content) // 2], "text": b"notes" * 1000}
    return ways.get(how) or content[:8192] + bytes(8192) + content[16384:]


@pytest.mark.parametrize("how", ["end", "half", "text", "hole"])
def test_a_damaged_store_is_refused_with_a_command_that_helps(monkeypatch, tmp_path, how):
    place = tmp_path / "it's mine"
    place.mkdir()
    monkeypatch.setattr("erasediff_pipeline.tracking.store.project_root", lambda: place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    database = place / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        for number in range(9):
            connection.execute(f"CREATE TABLE experiments{number or ''} (artifact_location)")
            connection.execute(f"INSERT INTO experiments{number or ''} VALUES ('file:///elsewhere')")
        connection.commit()
    follow_project()
    database.write_bytes(damage(database.read_bytes(), how))
    with pytest.raises(UserError, match=r"mlflow\.db is damaged: restore it, or begin a new one: ") as error:
        follow_project()
    (command,) = re.findall("`(.*)`", error.value.message)
    subprocess.run(command, shell=True, check=True)
    follow_project()
    assert [file.name for file in place.iterdir()] == ["mlflow.db.damaged"]


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_an_empty_store_is_filled_and_a_folder_in_its_place_is_refused(monkeypatch, tmp_path, make):
    monkeypatch.setattr("erasediff_pipeline.tracking.store.project_root", lambda: tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    make(tmp_path / "mlflow.db")
    if make is Path.touch:
        follow_project()
    else:
        with pytest.raises(UserError, match=r"mlflow\.db: unable to open database file"):
            follow_project()


def test_a_project_that_was_moved_finds_its_runs_and_writes_below_its_new_place(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    old, new = tmp_path / "old place", tmp_path / "new"
    old.mkdir()

    def client_at(place):
        monkeypatch.setattr("erasediff_pipeline.tracking.store.project_root", lambda: place)
        follow_project()
        return mlflow.MlflowClient(tracking_uri())

    client = client_at(old)
    experiment = client.create_experiment("unlearn", artifact_location=artifact_location())
    elsewhere = client.create_experiment("elsewhere", artifact_location=(tmp_path / "other").as_uri())
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "the report", "report.html")
    old.rename(new)
    client = client_at(new)
    assert client.get_experiment(experiment).artifact_location == (new / "mlartifacts").as_uri()
    assert client.get_experiment(elsewhere).artifact_location == (tmp_path / "other").as_uri()
    assert [file.path for file in client.list_artifacts(run)] == ["report.html"]
    client.log_text(client.create_run(experiment).info.run_id, "another", "report.html")
    assert not old.exists()


def test_a_file_that_cannot_be_opened_is_refused_at_once(tmp_path):
    """MLflow alone would try for a hundred seconds; a folder that is missing is made by it."""
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(OperationalError, match="unable to open database file"):
        connect_once(f"sqlite:///{tmp_path / 'mlflow.db'}")
    for name in ("new.db", "missing/mlflow.db"):
        connect_once(f"sqlite:///{tmp_path / name}")
    connect_once("http://localhost:1")
