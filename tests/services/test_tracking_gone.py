"""MLflow's server goes away in the middle of a run."""

import re
import signal
import socket
import time
from contextlib import ExitStack

import mlflow
import pytest

from tests.helpers.project import BIN, PATIENCE, QUICK, clean_environment, copy_clone, held, wait_until
from tests.helpers.servers import NO_JOBS, free_port, pointed_to, running

STEPS = 25


class Tracking:
    """``mlflow server`` on a store of its own, that can be stopped and started again."""

    def __init__(self, folder):
        self.folder, self.port, self.server = folder, free_port(), ExitStack()
        self.address = f"http://127.0.0.1:{self.port}"

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start(self):
        command = [
            BIN / "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--workers",
            "1",
        ]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/store.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        log, environment = self.folder / "log.txt", clean_environment(self.folder, **NO_JOBS)
        # Killed: a fault does not end in good order.
        server = running(command, self.answers, log, signal.SIGKILL, env=environment, cwd=self.folder)
        self.server.enter_context(server)

    def stop(self):
        self.server.close()
        deadline = time.monotonic() + PATIENCE
        while self.answers():  # its worker, killed with it, may have the port a moment longer
            assert time.monotonic() < deadline, f"port {self.port} is still answered"
            time.sleep(0.1)


@pytest.fixture
def tracking(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    server = Tracking(folder)
    server.start()
    yield server
    server.stop()


def wait_for(pattern, run):
    """Until the run has said it."""
    wait_until(lambda: re.search(pattern, run.log.read_text(errors="replace")), run, run.log)


def unlearn_while_gone(project, quick_run, tracking, tmp_path, then=lambda run: None):
    """What a run says whose server goes away once it has taken a step; ``then`` comes after that."""
    own = copy_clone(project, tmp_path / "project")
    parameters = QUICK.replace("unlearn.steps=2", f"unlearn.steps={STEPS}")
    arguments = ["kedro", "run", "--pipeline=unlearn", f"--params={parameters}"]
    address = tracking.address.replace("://", "://user:planted-secret@")
    run = quick_run.start(own, *arguments, MLFLOW_TRACKING_URI=address)
    wait_for(rf"[1-9]\d*/{STEPS} \[", run)  # any step: the bar leaves some out
    with held(run):  # it cannot be through before
        tracking.stop()
    wait_for("is gone", run)
    then(run)
    finished = run.finish(patience=300)
    said = " ".join(finished.output.split())
    assert finished.code == 0, said
    assert "planted-secret" not in finished.output
    assert said.count("MLflow's server is gone: the run goes on") == 1
    assert (own / "data/08_reporting/erasediff/report.html").exists()
    return said


def test_it_comes_back_and_is_told_everything(project, quick_run, tracking, tmp_path):
    def start_again(run):
        with held(run):
            tracking.start()

    said = unlearn_while_gone(project, quick_run, tracking, tmp_path, start_again)
    assert "MLflow's server is back: it has been told everything" in said
    with pointed_to(tracking.address) as client:
        (run,) = client.search_runs([client.get_experiment_by_name("erasediff_pipeline").experiment_id])
        points = client.get_metric_history(run.info.run_id, "forget_loss")
        assert [point.step for point in points] == list(range(STEPS))
        assert run.info.status == "FINISHED"
        assert "erased.fid" in run.data.metrics
        assert {"grid.png", "report.html"} <= {a.path for a in client.list_artifacts(run.info.run_id)}
        assert mlflow.pyfunc.load_model("models:/erasediff-erasediff/1") is not None


def test_it_stays_away_and_the_run_says_what_it_was_not_told(project, quick_run, tracking, tmp_path):
    said = unlearn_while_gone(project, quick_run, tracking, tmp_path)
    missing = said.split("MLflow was not told: ")[1]
    for what in (
        "points of the curves",
        "erasediff.report",
        "erasediff.registered_model",
        "the end of the run",
    ):
        assert what in missing
