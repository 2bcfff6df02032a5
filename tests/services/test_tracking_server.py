"""A run against ``mlflow server`` in front of PostgreSQL and an object store, as a team has it."""

import json
from contextlib import closing
from pathlib import Path

import mlflow
import pandas as pd
import psycopg2
import pytest

from erasediff_pipeline.tracking.hooks import connect_once
from tests.helpers.project import QUICK, assert_one_line, copy_clone
from tests.helpers.servers import KEYS, pointed_to

SECRETS = ("planted-uri-secret", "planted-postgres-secret", KEYS["AWS_SECRET_ACCESS_KEY"])


@pytest.fixture(scope="module")
def told(project, quick_run, tracking_server, object_store, tmp_path_factory):
    """A project after a run that told the server, and the run; what is secret stands in its environment."""
    own = copy_clone(project, tmp_path_factory.mktemp("tracked") / "project")
    address = tracking_server.replace("://", "://user:planted-uri-secret@")
    environment = {"MLFLOW_TRACKING_URI": address, **object_store.environment}
    run = quick_run(own, "--pipeline=unlearn", f"--params={QUICK}", **environment)
    return own, run


@pytest.fixture(scope="module")
def client(told, tracking_server):
    with pointed_to(tracking_server) as client:
        yield client


@pytest.fixture(scope="module")
def run(client):
    experiment = client.get_experiment_by_name("erasediff_pipeline")
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def test_the_server_has_the_run(run, told):
    assert (run.info.run_name, run.info.status) == ("unlearn", "FINISHED")
    assert run.data.params["unlearn.steps"] == "2"
    metrics = json.loads((told[0] / "data/08_reporting/erasediff/metrics.json").read_text())
    assert run.data.metrics["erased.fid"] == pytest.approx(metrics["erased"]["fid"])
    assert not (told[0] / "mlflow.db").exists()


def test_its_files_are_in_the_object_store(client, run, object_store, tmp_path):
    names = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    assert {"grid.png", "report.html"} <= names
    fetched = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="report.html", dst_path=str(tmp_path)
    )
    stored = [path.read_bytes() for path in object_store.folder.joinpath("mlflow").rglob("report.html")]
    assert Path(fetched).read_bytes() in stored


def test_the_registered_model_is_loaded_from_there(client):
    model = mlflow.pyfunc.load_model("models:/erasediff-erasediff/1")
    asked = pd.DataFrame({"label": [1], "seed": [0], "count": [2]})
    assert model.predict(asked)["images"].shape == (2, 1, 8, 8)


def test_a_wrong_password_of_the_database_is_refused_at_once(project, quick_run, database):
    wrong = database.replace("planted-postgres-secret", "planted-guess")
    run = quick_run(project, "--pipeline=unlearn", MLFLOW_TRACKING_URI=wrong)
    assert_one_line(run, "MLflow's store: ", 'password authentication failed for user "mlflow"')
    assert "planted" not in run.output
    assert run.seconds < 90  # MLflow by itself goes on trying for 100, and says nothing
    connect_once(database)


@pytest.fixture(scope="module")
def own_database(database):
    """The URI of another database of that server."""
    assert "planted-postgres-secret" in database
    with closing(psycopg2.connect(database.replace("+psycopg2", ""))) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE direct")
    return database.removesuffix("/postgres") + "/direct"


def test_a_database_without_a_server_is_not_told_of_either(project, quick_run, own_database, tmp_path):
    own = copy_clone(project, tmp_path / "project")
    run = quick_run(own, "--pipeline=unlearn", f"--params={QUICK}", MLFLOW_TRACKING_URI=own_database)
    with closing(psycopg2.connect(own_database.replace("+psycopg2", ""))) as connection:
        cursor = connection.cursor()
        told = []
        for table in ("params", "tags", "experiments", "runs", "model_versions", "logged_model_tags"):
            cursor.execute(f"SELECT * FROM {table}")
            told += cursor.fetchall()
    assert len(told) > 50
    files = [path for name in ("data", "mlruns") for path in (own / name).rglob("*") if path.is_file()]
    assert len(files) > 20
    assert "planted-postgres-secret" not in run.output
    assert "planted-postgres-secret" not in str(told)
    assert not [path for path in files if b"planted-postgres-secret" in path.read_bytes()]


def test_no_secret_is_told(told, run, object_store):
    """Of the server, the database and the store: not in what the run said, nor in what it has left."""
    own, said = told
    texts = [said.output, str(run.to_dictionary())]
    places = [own / "data", object_store.folder / "mlflow"]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    texts += [path.read_bytes().decode(errors="replace") for path in files]
    assert len(texts) > 20
    for secret in SECRETS:
        assert not [text for text in texts if secret in text]
