"""MLflow's server goes away in the middle of a run."""

import signal
from contextlib import ExitStack, contextmanager

import mlflow
import pytest

from tests.helpers.project import QUICK, copy_clone, held, runs_in, wait_until
from tests.helpers.servers import answers, free_port, pointed_to, serve_mlflow

STEPS = 25


class Tracking:
    """``mlflow server`` on a store of its own, that can be killed and started again."""

    def __init__(self, folder):
        self.folder, self.port, self.server = folder, free_port(), ExitStack()

    def start(self):
        places = f"sqlite:///{self.folder}/store.db", self.folder / "artifacts"
        server = serve_mlflow(self.folder, self.port, *places, stop=signal.SIGKILL)
        self.address = self.server.enter_context(server)

    def runs(self):
        with pointed_to(self.address) as client:
            return runs_in(client)


@pytest.fixture
def tracking(tmp_path_factory):
    server = Tracking(tmp_path_factory.mktemp("server"))
    server.start()
    with server.server:
        yield server


@contextmanager
def cut_off(project, quick_run, tracking, tmp_path):
    """A run, held once it has noticed that the server was killed; in the end, it has succeeded."""
    own = copy_clone(project, tmp_path / "project")
    parameters = QUICK.replace("unlearn.steps=2", f"unlearn.steps={STEPS}")
    address = tracking.address.replace("://", "://user:planted-secret@")
    arguments = ["run", "--pipeline=unlearn", f"--params={parameters}"]
    run = quick_run.start(own, *arguments, MLFLOW_TRACKING_URI=address)
    wait_until(lambda: any("forget_loss" in r.data.metrics for r in tracking.runs()), run, run.log)
    with held(run):  # its training is not over before
        tracking.server.close()
        wait_until(lambda: not answers(tracking.port), run, run.log)
    wait_until(lambda: "does not answer" in run.log.read_text(errors="replace"), run, run.log)
    with held(run):
        yield run
    code, said = run.wait(), run.log.read_text()
    assert code == 0, said
    assert "planted-secret" not in said
    assert said.count("MLflow's server does not answer") == 1
    assert (own / "data/08_reporting/erasediff/report.html").exists()


def test_it_comes_back_and_receives_everything(project, quick_run, tracking, tmp_path):
    with cut_off(project, quick_run, tracking, tmp_path) as run:
        tracking.start()
    said = run.log.read_text()
    assert "MLflow's server is reachable again" in said
    assert "did not receive" not in said
    (run,) = tracking.runs()
    assert run.info.status == "FINISHED"
    assert "erased.fid" in run.data.metrics
    with pointed_to(tracking.address) as client:
        points = client.get_metric_history(run.info.run_id, "forget_loss")
        assert [point.step for point in points] == list(range(STEPS))
        assert {"grid.png", "report.html"} <= {a.path for a in client.list_artifacts(run.info.run_id)}
        assert mlflow.pyfunc.load_model("models:/erasediff-erasediff/1") is not None


def test_it_stays_away_and_the_run_names_what_is_missing(project, quick_run, tracking, tmp_path):
    with cut_off(project, quick_run, tracking, tmp_path) as run:
        pass
    missing = " ".join(run.log.read_text().split()).split("MLflow did not receive: ")[1]
    for what in ("points of the curves", "erasediff.report", "erasediff.registered_model", "the end of"):
        assert what in missing
