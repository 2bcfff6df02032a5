"""torchrun around ``kedro run``, as a user types it."""

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from tests.helpers.project import BIN, QUICK, client_of, copy_clone, hash_tree, run_command, runs_in

TWICE = (BIN / "torchrun", "--standalone", "--nproc-per-node", "2", "-m", "kedro", "run")
UNLEARN = ("--pipeline=unlearn", f"--params={QUICK},unlearn.accumulation=2")


@pytest.fixture(scope="module")
def both(project, tmp_path_factory):
    """The project after two processes have unlearnt; read only."""
    target = copy_clone(project, tmp_path_factory.mktemp("two") / "project")
    return target, run_command(target, *TWICE, *UNLEARN)


def test_curve_and_artefacts_are_those_of_one_process(both, own, quick_run):
    quick_run(own, *UNLEARN)
    curves = [pd.read_csv(target / "data/08_reporting/erasediff/curves.csv") for target in (both[0], own)]
    assert_frame_equal(*curves, rtol=1e-3)
    assert len(curves[0]) == 2
    assert set(hash_tree(both[0] / "data")) == set(hash_tree(own / "data"))


def test_one_process_tells_and_tracks(both):
    assert both[1].output.count("forget class 0") == 1
    assert both[1].output.count("base model: 'base'") == 1
    assert "Replacing dataset" not in both[1].output
    assert [run.info.status for run in runs_in(client_of(both[0]))] == ["FINISHED"]


def losses(project):
    """The curve of the only run, as MLflow has it."""
    client = client_of(project)
    (run,) = runs_in(client)
    return sorted((p.step, p.value) for p in client.get_metric_history(run.info.run_id, "loss"))


def test_a_base_model_is_trained_by_two_as_by_one(project, own, quick_run, tmp_path):
    settings = "pretrain.steps=5,pretrain.batch_size=32,pretrain.log_every=1,pretrain.accumulation=2"
    arguments = ["--pipeline=pretrain", "--to-outputs=base_model", f"--params={settings}"]
    both = copy_clone(project, tmp_path / "two")
    run_command(both, *TWICE, *arguments)
    quick_run(own, *arguments)
    curves = [losses(target) for target in (both, own)]
    assert curves[0] == [pytest.approx(point, rel=1e-3) for point in curves[1]]
    assert [step for step, _ in curves[0]] == list(range(5))
    before, after, other = (hash_tree(root / "data/06_models/base") for root in (project, both, own))
    assert set(after) == set(other)
    assert after != before


@pytest.mark.parametrize(
    ("parameter", "said"),
    [("steps=0", "unlearn.steps: 0: Input should be"), ("batch_size=33", "unlearn.batch_size: 33: ")],
)
def test_what_is_wrong_is_told_once(own, parameter, said):
    """Before the processes are connected, and after it; see also `hooks/test_processes.py`."""
    run = run_command(own, *TWICE, UNLEARN[0], f"--params=unlearn.{parameter}", check=False)
    assert run.code != 0
    assert run.output.count(f"Error: {said}") == 1
