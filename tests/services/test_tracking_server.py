"""A run against ``mlflow server`` in front of PostgreSQL and an object store, as a team has it."""

from pathlib import Path

import mlflow
import pandas as pd
import pytest
from sqlalchemy import create_engine, text

from erasediff_pipeline.tracking.store import connect_once
from tests.helpers.project import QUICK, assert_one_line, copy_clone, read_json, runs_in
from tests.helpers.servers import KEYS, pointed_to

PASSWORD = "planted-postgres-secret"
SECRETS = ("planted-uri-secret", PASSWORD, KEYS["AWS_SECRET_ACCESS_KEY"])


@pytest.fixture(scope="module")
def told(project, quick_run, tracking_server, object_store, tmp_path_factory):
    """A project after a run that told the server, and what it said; secrets stand in its environment."""
    own = copy_clone(project, tmp_path_factory.mktemp("tracked") / "project")
    address = tracking_server.replace("://", "://user:planted-uri-secret@")
    environment = {"MLFLOW_TRACKING_URI": address, **object_store.environment}
    return own, quick_run(own, "--pipeline=unlearn", f"--params={QUICK}", **environment).output


@pytest.fixture(scope="module")
def client(told, tracking_server):
    with pointed_to(tracking_server) as client:
        yield client


@pytest.fixture(scope="module")
def run(client):
    (run,) = runs_in(client)
    return run


def test_the_server_has_the_run(run, told):
    assert (run.info.run_name, run.info.status) == ("unlearn", "FINISHED")
    assert run.data.params["unlearn.steps"] == "2"
    metrics = read_json(told[0] / "data/08_reporting/erasediff/metrics.json")
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
    model = mlflow.pyfunc.load_model("models:/erasediff-erasediff/1")
    asked = pd.DataFrame({"label": [1], "seed": [0], "count": [2]})
    assert model.predict(asked)["images"].shape == (2, 1, 8, 8)


def test_a_wrong_password_of_the_database_is_refused_at_once(project, quick_run, database):
    wrong = {"MLFLOW_TRACKING_URI": database.replace(PASSWORD, "planted-guess")}
    run = quick_run(project, "--pipeline=unlearn", check=False, **wrong)
    assert_one_line(run, "MLflow's store: ", 'password authentication failed for user "mlflow"')
    assert "planted" not in run.output
    assert run.seconds < 90  # MLflow by itself goes on trying for 100, and says nothing
    connect_once(database)


def no_secret_in(folders, *texts):
    """Neither in the files there nor in the texts."""
    files = [path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    for secret in SECRETS:
        assert not [text for text in texts if secret in text]
        assert not [content for content in files if secret.encode() in content]


def test_a_database_without_a_server_is_not_told_of_either(project, quick_run, database, tmp_path):
    assert PASSWORD in database
    with create_engine(database, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("CREATE DATABASE direct"))
    address = database.removesuffix("/postgres") + "/direct"
    own = copy_clone(project, tmp_path / "project")
    run = quick_run(own, "--pipeline=unlearn", f"--params={QUICK}", MLFLOW_TRACKING_URI=address)
    tables = ("params", "tags", "experiments", "runs", "model_versions", "logged_model_tags")
    told = pd.concat(pd.read_sql_table(name, address) for name in tables)
    assert len(told) > 50
    no_secret_in([own / "data", own / "mlruns"], run.output, told.to_csv())


def test_no_secret_is_told(told, run, object_store):
    """Of the server, the database and the store: not in what the run said, nor in what it has left."""
    no_secret_in([told[0] / "data", object_store.folder / "mlflow"], told[1], str(run.to_dictionary()))
