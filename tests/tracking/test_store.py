import base64
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import mlflow
import pytest

from erasediff_pipeline.paths import CHECKOUT
from erasediff_pipeline.tracking.store import artifact_location, separate_credentials, tracking_uri


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
