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


@pytest.fixture(scope="module")
def alone(project, quick_run, tmp_path_factory):
    target = copy_clone(project, tmp_path_factory.mktemp("one") / "project")
    quick_run(target, *UNLEARN)
    return target


def test_curve_and_artefacts_are_those_of_one_process(both, alone):
    curves = [pd.read_csv(target / "data/08_reporting/erasediff/curves.csv") for target in (both[0], alone)]
    assert_frame_equal(*curves, rtol=1e-3)
    assert len(curves[0]) == 2
    assert set(hash_tree(both[0] / "data")) == set(hash_tree(alone / "data"))


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


def test_a_base_model_is_trained_by_two_as_by_one(project, quick_run, tmp_path):
    settings = "pretrain.steps=5,pretrain.batch_size=32,pretrain.log_every=1,pretrain.accumulation=2"
    arguments = ["--pipeline=pretrain", "--to-outputs=base_model", f"--params={settings}"]
    both, alone = (copy_clone(project, tmp_path / name) for name in ("two", "one"))
    run_command(both, *TWICE, *arguments)
    quick_run(alone, *arguments)
    curves = [losses(target) for target in (both, alone)]
    assert curves[0] == [pytest.approx(point, rel=1e-3) for point in curves[1]]
    assert [step for step, _ in curves[0]] == list(range(5))
    before, after, other = (hash_tree(root / "data/06_models/base") for root in (project, both, alone))
    assert set(after) == set(other)
    assert after != before


@pytest.mark.parametrize(
    ("pipeline", "parameter", "said"),
    [
        ("prepare", "seed=0", "2 processes: this pipeline trains 0 models: start one process"),
        ("unlearn", "unlearn.steps=0", "unlearn.steps: 0: Input should be"),
        ("unlearn", "unlearn.batch_size=33", "unlearn.batch_size: 33: "),
    ],
)
def test_what_is_wrong_is_told_once(project, tmp_path, pipeline, parameter, said):
    target = copy_clone(project, tmp_path / "project")
    run = run_command(target, *TWICE, f"--pipeline={pipeline}", f"--params={parameter}", check=False)
    assert run.code != 0
    assert run.output.count(f"Error: {said}") == 1
