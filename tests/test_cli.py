"""What the command line says of an error."""

import signal
import socket
import sqlite3
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import click
import mlflow
import pytest
import requests
from click.testing import CliRunner
from kedro.config import MissingConfigException
from kedro.framework.cli.utils import env_option
from kedro.framework.project import configure_project
from kedro.io import DatasetError
from mlflow.exceptions import MlflowException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from sqlalchemy.exc import DatabaseError, OperationalError

from erasediff_pipeline.cli import cli, explain, interrupted_by, with_one_line_errors
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.loader import ProjectConfigLoader
from erasediff_pipeline.settings import CONFIG_LOADER_ARGS

FULL = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
DAMAGED = DatabaseError("SELECT", {}, sqlite3.DatabaseError("file is not a database"))
NO_SPACE = OSError(28, "No space left on device")
REFUSED = ConnectionRefusedError(111, "Connection refused")
UNNAMED = socket.gaierror(-3, "Temporary failure in name resolution")
NO_PIPELINE = ValueError("Failed to find the pipeline named 'x'.\nDid you mean y?")
STORE = "sqlite:///mlflow.db"
DENIED = PermissionError(13, "Permission denied", "data/x.csv")


def raised(error, cause=None):
    """The error as it comes out of a raise."""
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def failing(error, *arguments):
    """A command that fails with this error."""

    @click.command()
    @env_option
    def command(env):
        raise error

    return CliRunner().invoke(with_one_line_errors(command), arguments)


@pytest.mark.parametrize(
    ("error", "cause", "line"),
    [
        (DENIED, None, "data/x.csv: Permission denied"),
        (NO_SPACE, None, "disk: No space left on device"),
        (DatasetError("Failed"), OSError(*NO_SPACE.args, "x"), "x: No space left on device"),
        (DatasetError("Failed\n  while   loading."), None, "Failed while loading."),
        (FULL, None, f"MLflow's store: database or disk is full: {STORE}"),
        (RuntimeError("mlflow"), FULL, f"MLflow's store: database or disk is full: {STORE}"),
        # A connection that is not MLflow's
        (requests.ConnectionError("the hub"), REFUSED, "network: Connection refused"),
        (RuntimeError("the hub"), UNNAMED, "network: Temporary failure in name resolution"),
        (NO_PIPELINE, None, "Failed to find the pipeline named 'x'. Did you mean y?"),
        (ValueError("Pipeline does not contain nodes named ['x']."), None, "Pipeline does not contain nodes"),
        (DAMAGED, None, f"MLflow's store: file is not a database: {STORE}"),
        (ModuleNotFoundError("No", name="psycopg"), None, "MLFLOW_TRACKING_URI: its database needs a"),
        (KeyError("x"), None, None),
        (ValueError("shapes differ"), None, None),
        (OSError("no errno"), None, None),
    ],
)
def test_an_error_from_outside_is_one_line_and_any_other_is_none(monkeypatch, error, cause, line):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", STORE)
    told = explain(raised(error, cause))
    assert told is None if line is None else told.startswith(line)


@pytest.mark.parametrize(
    ("said", "added"),
    [
        ("Pipeline does not contain nodes named ['erasediff.erse'].", ", did you mean 'erasediff.erase'?"),
        ("Pipeline does not contain nodes named ['x'].", ": choose from erasediff.card, erasediff.describe"),
        (
            "Pipeline does not contain datasets named ['erasediff.reprt']",
            ", did you mean 'erasediff.report'?",
        ),
        (
            "Pipeline does not contain nodes with the following namespaces: ['erasedif']",
            ", did you mean 'erasediff'?",
        ),
        ("Pipeline contains no nodes after applying all provided filters.", ": choose from training"),
    ],
)
def test_an_unknown_name_of_a_part_is_answered_with_the_nearest(said, added):
    configure_project("erasediff_pipeline")
    assert explain(ValueError(said), ["unlearn"]).startswith(said.rstrip(".") + added)


def refused(*arguments):
    """What ``kedro run`` says of options that it does not take; an option that it takes would start it."""
    run = CliRunner().invoke(cli, ["run", *arguments])
    assert run.exit_code == 1
    return run.output


@pytest.mark.parametrize(
    "option",
    [
        "--runner=ThreadRunner",
        "--runner=ParallelRunner",
        "--runner=NoRunner",
        "--async",
        "--only-missing-outputs",
        "--load-versions=erasediff.metrics:2024",
    ],
)
def test_an_option_that_would_mix_runs_is_refused(option):
    said = refused(option)
    assert said.startswith(f"Error: {option}: ")
    assert said.endswith(": leave it out\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--params=forget.classes=3", "--params=seed=1"], "--params: given 2 times, expected once: put"),
        (["--pipeline=prepare", "-p", "unlearn"], "--pipeline: given 2 times, expected once"),
        (["--params=forget.classes=3,forget.classes=4"], "'forget.classes' occurs 2 times: give each"),
        (["--params=gates.limits={}"], "gates.limits: '{}' changes nothing: leave it out"),
        (["--params=forget.classes=010"], "forget.classes: '010' is 8 in YAML: write it without the leading"),
    ],
)
def test_what_would_be_lost_or_read_as_something_else_is_refused(options, said):
    assert said in refused(*options)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("params: {seed: 1}\n", "expected the key `run`"),
        ("", "expected the key `run`"),
        ("run: {params: {seed: 1}}\nrun: {}\n", "line 2: the key 'run' occurs twice"),
        ("run: {params: {seed: 010}}\n", "line 1: '010' is 8 in YAML"),
        ("- run\n", "line 1: expected <key>: <value>"),
        ("run: {parms: {seed: 1}}\n", "run: 'parms' is no option of `kedro run`, did you mean 'params'?"),
        ("run: [params]\n", "expected the key `run`"),
        (None, "does not exist: expected a file as docs/example_classes.yml"),
    ],
)
def test_a_file_of_options_that_is_none_is_refused(tmp_path, content, said):
    if content is not None:
        (tmp_path / "run.yml").write_text(content)
    assert said in refused(f"--config={tmp_path / 'run.yml'}")


def test_parameters_of_a_file_are_not_replaced_by_those_of_the_command_line(tmp_path):
    (tmp_path / "run.yml").write_text("run: {params: {forget: {classes: [3]}}}\n")
    both = [f"--config={tmp_path / 'run.yml'}", "--params=seed=1"]
    for options in (both, both[::-1]):
        assert "write all of them in one place" in refused(*options)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_run_is_like_ctrl_c(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interrupted_by(signal.SIGTERM, signal.SIGHUP):
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_a_signal_that_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupted_by(signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_unknown_folder_of_settings_is_answered_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/base").mkdir(parents=True)
    said = "expected a folder with the folder base in it, as conf"
    assert refused("--conf-source=cnf") == f"Error: --conf-source=cnf: {said}, did you mean 'conf'?\n"
    assert refused("--conf-source=.") == f"Error: --conf-source=.: {said}\n"


@pytest.mark.parametrize("value", ["{method}{x}", "[3", "a: b: c", '"x', "{a: [}"])
def test_a_value_that_is_no_yaml_is_one_line(value):
    option = f"--params=tracking.registered_model={value}"
    said = refused(option)
    assert said.startswith(f"Error: {option}: ")
    assert said.endswith(": put text with brackets or colons in quotes\n")


def test_an_unknown_environment_is_answered_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.setattr("erasediff_pipeline.paths.project_root", lambda: tmp_path)
    for name in ("base", "fashion_mnist", "empty"):
        (tmp_path / "conf" / name).mkdir(parents=True)
    for name in ("base", "fashion_mnist"):
        (tmp_path / "conf" / name / "parameters.yml").touch()
    loader = ProjectConfigLoader(str(tmp_path / "conf"), env="fashon_mnist", **CONFIG_LOADER_ARGS)
    with pytest.raises(MissingConfigException) as error:
        loader["parameters"]
    assert explain(error.value) == (
        "--env=fashon_mnist: conf/fashon_mnist does not exist, did you mean 'fashion_mnist'?: "
        "choose from base, fashion_mnist"
    )


def test_a_command_of_mlflow_gets_the_store(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///my runs.db")
    said = explain(MlflowException("out of date: run 'mlflow db upgrade <database_uri>'"))
    assert said.endswith("mlflow db upgrade 'sqlite:///my runs.db''")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MLFLOW_RUN_ID", "deadbeef", "MLFLOW_RUN_ID: deadbeef: no run deadbeef: `unset MLFLOW_RUN_ID`"),
        ("MLFLOW_TRACKING_URI", "file:x", "MLFLOW_TRACKING_URI: file:x: no run deadbeef"),
        ("MLFLOW_EXPERIMENT_NAME", "another", "no run deadbeef"),
    ],
)
def test_the_variable_that_misleads_mlflow_is_named(monkeypatch, name, value, said):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv(name, value)
    assert explain(MlflowException("no run\ndeadbeef")) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [("${x}", "Interpolation key 'x' not found"), ("${env:HOME}", "Unsupported interpolation type env")],
)
def test_a_parameter_that_refers_to_nothing_is_named(value, said):
    with pytest.raises(OmegaConfBaseException) as error:
        OmegaConf.to_container(OmegaConf.create({"seed": value}), resolve=True)
    assert explain(error.value).startswith(said)


class Failing(BaseHTTPRequestHandler):
    """A server whose store is gone."""

    def do_POST(self):
        self.send_error(503)

    log_message = lambda *arguments: None  # noqa: E731


@pytest.fixture(params=["refused", "503"])
def port(request):
    with HTTPServer(("127.0.0.1", 0), Failing) as server:
        if request.param == "503":
            Thread(target=server.serve_forever).start()
            yield server.server_port
            server.shutdown()
    if request.param == "refused":  # nobody listens there
        yield server.server_port


def test_mlflows_server_is_named_and_its_password_is_not(port, monkeypatch):
    uri = f"http://user:planted-secret@127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Exception, match="planted-secret") as caught:  # as MLflow says it
        mlflow.MlflowClient(uri).search_experiments()
    said = f"http://127.0.0.1:{port}: MLflow's server cannot be reached, or fails"
    assert failing(caught.value).output == f"Error: MLFLOW_TRACKING_URI: {said}\n"


def test_what_can_be_explained_is_one_line_and_a_status():
    explained = failing(DENIED)
    assert (explained.exit_code, explained.output) == (1, "Error: data/x.csv: Permission denied\n")
    usage = failing(click.UsageError("no such option"))
    assert usage.exit_code == 2
    assert "Error: no such option" in usage.output


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("two\nlines"), AssertionError()])
def test_what_nobody_foresaw_is_one_line_that_names_the_trace(monkeypatch, tmp_path, error):
    monkeypatch.setattr("erasediff_pipeline.cli.project_root", lambda: tmp_path)
    told = failing(error)
    (trace,) = (tmp_path / "logs").iterdir()
    assert told.exit_code == 1
    assert told.output.count("\n") == 1
    assert told.output.startswith(f"Error: {type(error).__name__}")
    assert trace.name in told.output
    assert "Traceback (most recent call last)" in trace.read_text()


def test_each_error_has_a_trace_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr("erasediff_pipeline.cli.project_root", lambda: tmp_path)
    for _ in range(3):
        failing(KeyError("x"))
    assert len(list((tmp_path / "logs").iterdir())) == 3


def test_where_no_trace_can_be_written_the_error_itself_is_shown(monkeypatch, tmp_path):
    (tmp_path / "logs").write_text("a file")
    monkeypatch.setattr("erasediff_pipeline.cli.project_root", lambda: tmp_path)
    bug = KeyError("x")
    assert failing(bug).exception is bug


@pytest.mark.parametrize(
    ("option", "command"),
    [
        ([], "kedro run --pipeline=load"),
        (["--env=nudity"], "kedro run --env=nudity --pipeline=load"),
        (["-e", "my own"], "kedro run --env='my own' --pipeline=load"),
    ],
)
def test_a_command_in_an_error_is_one_of_this_environment(option, command):
    said = "base_model: get it with `{}`, then `kedro run --env=x`"
    told = failing(MissingInput(said.format("kedro run --pipeline=load")), *option).output
    assert told == f"Error: {said.format(command)}\n"


def test_run_is_kedros_own_with_all_its_options():
    assert {"--pipeline", "--params", "--env"} <= {o for p in cli.commands["run"].params for o in p.opts}
