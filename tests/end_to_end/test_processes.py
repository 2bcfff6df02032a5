"""torchrun around ``kedro run``, as a user types it."""

import sqlite3

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from end_to_end.fixtures import BIN, QUICK, clean_environment, copy_clone, hash_tree, run_command

pytestmark = pytest.mark.slow
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
        ("unlearn.batch_size=33", "unlearn.batch_size: 33: allowed are multiples of 2 (2 processes"),
    ],
)
def test_what_is_wrong_is_told_once(project, quick_run, tmp_path, parameter, said):
    target = copy_clone(project, tmp_path / "project")
    output = refused(target, quick_run, "--pipeline=unlearn", f"--params={parameter}")
    assert output.count(f"Error: {said}") == 1
