"""torchrun around ``kedro run``, as a user types it."""

import sqlite3

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from tests.helpers.project import BIN, QUICK, clean_environment, copy_clone, hash_tree, run_command

TWICE = (BIN / "torchrun", "--standalone", "--nproc-per-node", "2")
DIVIDED = "unlearn.accumulation=2"


def refused(project, quick_run, *arguments):
    """What two processes say that are quick to start."""
    environment = clean_environment(project, PATH=quick_run.path)
    run = run_command(project, *TWICE, "--no-python", "kedro", "run", *arguments, env=environment)
    assert run.code != 0
    return run.output


@pytest.fixture(scope="module")
def both(project, tmp_path_factory):
    """The project after two processes have unlearnt; read only."""
    target = copy_clone(project, tmp_path_factory.mktemp("two") / "project")
    arguments = ["--pipeline=unlearn", f"--params={QUICK},{DIVIDED}"]
    run = run_command(target, *TWICE, "-m", "kedro", "run", *arguments)
    assert run.code == 0, run.output
    return target, run


@pytest.fixture(scope="module")
def alone(project, quick_run, tmp_path_factory):
    target = copy_clone(project, tmp_path_factory.mktemp("one") / "project")
    run = quick_run(target, "--pipeline=unlearn", f"--params={QUICK},{DIVIDED}")
    assert run.code == 0, run.output
    return target


def test_the_curve_is_that_of_one_process(both, alone):
    curves = [pd.read_csv(target / "data/08_reporting/erasediff/curves.csv") for target in (both[0], alone)]
    assert_frame_equal(*curves, rtol=1e-3)
    assert len(curves[0]) == 2


def losses(project):
    """The curve of the only run, as MLflow has it."""
    with sqlite3.connect(project / "mlflow.db") as store:
        return store.execute("select step, value from metrics where key = 'loss' order by step").fetchall()


def test_a_base_model_is_trained_by_two_as_by_one(project, quick_run, tmp_path):
    settings = "pretrain.steps=5,pretrain.batch_size=32,pretrain.log_every=1,pretrain.accumulation=2"
    arguments = ["--pipeline=pretrain", "--to-outputs=base_model", f"--params={settings}"]
    both, alone = (copy_clone(project, tmp_path / name) for name in ("two", "one"))
    before = hash_tree(both / "data/06_models/base")
    for run in (run_command(both, *TWICE, "-m", "kedro", "run", *arguments), quick_run(alone, *arguments)):
        assert run.code == 0, run.output
    curves = [losses(target) for target in (both, alone)]
    assert curves[0] == [pytest.approx(point, rel=1e-3) for point in curves[1]]
    assert [step for step, _ in curves[0]] == list(range(5))
    after = hash_tree(both / "data/06_models/base")
    assert set(after) == set(hash_tree(alone / "data/06_models/base"))
    assert after != before


def test_artefacts_are_those_of_one_process(both, alone):
    names = [set(hash_tree(target / "data")) for target in (both[0], alone)]
    assert names[0] == names[1]


def test_mlflow_has_one_run(both):
    with sqlite3.connect(both[0] / "mlflow.db") as store:
        assert store.execute("select status from runs").fetchall() == [("FINISHED",)]


def test_one_process_tells(both):
    assert both[1].output.count("forgot class 0") == 1
    assert both[1].output.count("starting from 'base'") == 1
    assert "Replacing dataset" not in both[1].output


def test_a_pipeline_without_training_is_refused(project, quick_run, tmp_path):
    target = copy_clone(project, tmp_path / "project")
    output = refused(target, quick_run, "--pipeline=prepare")
    assert output.count("Error: 2 processes: this pipeline has 0 trainings: run it in one") == 1


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("unlearn.steps=0", "unlearn.steps: 0 is refused"),
        ("unlearn.batch_size=33", "unlearn.batch_size: 33: use a multiple of 2 (2 processes"),
    ],
)
def test_what_is_wrong_is_told_once(project, quick_run, tmp_path, parameter, said):
    target = copy_clone(project, tmp_path / "project")
    output = refused(target, quick_run, "--pipeline=unlearn", f"--params={parameter}")
    assert output.count(f"Error: {said}") == 1
