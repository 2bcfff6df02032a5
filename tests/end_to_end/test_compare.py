"""The comparison, by the command that a user types."""

import json
import re
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import mlflow
import pandas as pd
import pytest

from erasediff_pipeline.config import NegGradSettings
from erasediff_pipeline.experiments.comparison import COSTS, METRICS
from tests.helpers.page import Reader, assert_self_contained
from tests.helpers.project import (
    BIN,
    SHORT,
    TINY,
    Finished,
    assert_one_line,
    configure,
    copy_clone,
    hash_tree,
    run_command,
    wait_until,
)

TRIED = ["erasediff", "neggrad", "retrain"]
SEEDS = [0, 1]
TINY_COMPARISON = {**TINY, "compare": {"methods": TRIED, "seeds": len(SEEDS)}}
EACH_ONCE = Counter({method: len(SEEDS) for method in TRIED})
STORE = "data/06_models/compare"
KEY = "made_from.json"


class Compared(NamedTuple):
    """The comparison, done once."""

    project: Path
    run: Finished
    report: Path


def start_afresh(project, target):
    """A project where nothing has been compared yet, not even what ``dvc pull`` brings."""
    copy_clone(project, target)
    shutil.rmtree(target / STORE, ignore_errors=True)
    configure(target, TINY_COMPARISON)
    return target


@pytest.fixture(scope="module")
def compared(project, quick_run, tmp_path_factory):
    """Three methods and two seeds; read only."""
    target = start_afresh(project, tmp_path_factory.mktemp("compared") / "project")
    run = quick_run(target, "--pipeline=compare")
    assert run.code == 0, run.output
    return Compared(target, run, target / "data/08_reporting/compare")


@pytest.fixture
def own(compared, tmp_path):
    """The same with its results, for one test alone."""
    return copy_clone(compared.project, tmp_path / "project")


@pytest.fixture(scope="module")
def trials(compared):
    return pd.read_csv(compared.report / "trials.csv")


@pytest.fixture(scope="module")
def document(compared):
    return json.loads((compared.report / "comparison.json").read_text())


def trained(run):
    """How often each method was trained: every training says once that it is at step 0."""
    return Counter(re.findall(r"^(\w+): step 0/2, 00:00 elapsed", run.output, re.MULTILINE))


def sampled(run):
    return len(re.findall(r"sample \w+: image 0/80, 00:00 elapsed", run.output))


def test_every_trial_was_trained_and_judged_once(compared):
    assert trained(compared.run) == EACH_ONCE
    assert sampled(compared.run) == (1 + len(TRIED)) * len(SEEDS)


def test_table_of_trials_has_a_row_a_method_and_seed(trials):
    assert list(trials.columns) == ["method", "seed", *METRICS, *COSTS]
    rows = list(zip(trials["method"], trials["seed"], strict=True))
    assert rows == [(method, seed) for method in ["base", *TRIED] for seed in SEEDS]
    assert trials["fid"].notna().all()
    assert trials["forget_membership_auc"].isna().all()


def test_costs_are_those_of_the_methods(trials):
    costs = trials.set_index("method")[COSTS]
    assert costs.loc["base"].isna().all(axis=None)
    assert (costs.loc[TRIED] > 0).all(axis=None)
    assert set(costs.loc["retrain", "denoiser_evaluations"]) == {2 * 32}
    assert set(costs.loc["erasediff", "denoiser_evaluations"]) == {2 * 3 * 32}


def test_the_document_holds_the_means_over_the_seeds(document, trials):
    assert document["forget"]["classes"] == [0]
    assert {row["method"] for row in document["methods"]} == {"base", *TRIED}
    for row in document["methods"]:
        own = trials[trials["method"] == row["method"]]
        assert row["seeds"] == len(SEEDS)
        for name in METRICS + COSTS:
            if own[name].isna().all():
                assert row[name] is None
            else:
                assert row[name] == pytest.approx(own[name].mean(), rel=1e-4)
                assert row[f"{name}_interval"] >= 0


def test_summary_is_the_document_as_a_table(compared, document):
    summary = pd.read_csv(compared.report / "summary.csv")
    assert list(summary["method"]) == [row["method"] for row in document["methods"]]
    for _, row in summary.iterrows():
        (same,) = [each for each in document["methods"] if each["method"] == row["method"]]
        assert set(same) == set(summary.columns)
        assert row["fid"] == pytest.approx(same["fid"], rel=1e-4)
        assert row["distance"] == pytest.approx(same["distance"], rel=1e-4)


def test_distances_are_to_the_retrained_model(document):
    retrained, *others = document["methods"]
    assert (retrained["method"], retrained["distance"]) == ("retrain", 0)
    distances = [row["distance"] for row in others]
    assert distances == sorted(distances)
    (base,) = (row for row in others if row["method"] == "base")
    gap = abs(base["retain_accuracy"] - retrained["retain_accuracy"])
    assert base["retain_accuracy_distance"] == pytest.approx(gap)
    assert base["distance"] > 0


def test_page_has_it_all_and_fetches_nothing(compared):
    page = (compared.report / "report.html").read_text()
    assert_self_contained(page)
    reader = Reader(page)
    assert len(reader.fetched) == 2
    names = [row[0] for row in reader.rows]
    assert all(names.count(method) == 2 for method in ["base", *TRIED])  # measured, and distances
    assert "class 0 (142 images) forgotten" in page
    assert "Means over 2 seeds" in page


def test_pictures_lie_beside_the_page(compared):
    for name in ("trade_off.png", "grids.png"):
        assert (compared.report / name).read_bytes().startswith(b"\x89PNG")


def test_nothing_else_was_touched(compared, project):
    """Neither the models that it starts from, nor what a method's own pipeline has left."""
    for name in ("03_primary", "06_models/base", "06_models/classifier", "06_models/erasediff"):
        assert hash_tree(compared.project / "data" / name) == hash_tree(project / "data" / name)
    names = {path.name for path in (project / "data/06_models").iterdir()}
    assert {path.name for path in (compared.project / "data/06_models").iterdir()} == names | {"compare"}


@pytest.fixture(scope="module")
def client(compared):
    return mlflow.MlflowClient(f"sqlite:///{compared.project / 'mlflow.db'}")


@pytest.fixture(scope="module")
def runs(client):
    """The comparison's run, and those below it."""
    experiment = client.get_experiment_by_name("erasediff_pipeline")
    parent, *more = [
        run
        for run in client.search_runs([experiment.experiment_id])
        if "mlflow.parentRunId" not in run.data.tags
    ]
    assert not more
    below = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    children = client.search_runs([experiment.experiment_id], filter_string=below)
    return parent, {run.info.run_name: run for run in children}


def test_the_comparison_is_one_run(client, runs):
    parent, _ = runs
    assert (parent.info.run_name, parent.info.status) == ("compare", "FINISHED")
    assert parent.data.params["compare.seeds"] == "2"
    assert {artifact.path for artifact in client.list_artifacts(parent.info.run_id)} == {
        "trade_off.png",
        "grids.png",
        "report.html",
    }


def test_each_method_is_a_run_below_it(runs, document):
    _, children = runs
    assert set(children) == {"base", *TRIED}
    for row in document["methods"]:
        run = children[row["method"]]
        assert run.info.status == "FINISHED"
        assert run.data.tags["method"] == row["method"]
        measured = {name: value for name, value in row.items() if isinstance(value, int | float)}
        shown = {name: run.data.metrics[name] for name in measured}
        assert shown == pytest.approx(measured, rel=1e-4)


def test_a_methods_run_has_its_settings_and_curves(client, runs):
    _, children = runs
    assert children["neggrad"].data.params["retain_weight"] == str(NegGradSettings().retain_weight)
    assert children["retrain"].data.params["steps"] == "2"
    assert "steps" not in children["base"].data.params
    points = client.get_metric_history(children["neggrad"].info.run_id, "forget_loss")
    assert sorted(point.step for point in points) == [0, 1]


def test_a_second_run_trains_nothing(compared, own, quick_run):
    before = hash_tree(own / STORE)
    run = quick_run(own, "--pipeline=compare")
    assert run.code == 0, run.output
    assert trained(run) == Counter()
    assert sampled(run) == 0
    assert hash_tree(own / STORE) == before
    assert run.seconds < compared.run.seconds
    for name in ("trials.csv", "summary.csv", "comparison.json", "trade_off.png", "grids.png"):
        again = own / "data/08_reporting/compare" / name
        assert again.read_bytes() == (compared.report / name).read_bytes(), name


def test_a_changed_setting_trains_just_that_method_anew(compared, own, quick_run):
    before = hash_tree(own / STORE)
    configure(own, {**TINY_COMPARISON, "neggrad": {**SHORT, "retain_weight": 0.5}})
    run = quick_run(own, "--pipeline=compare")
    assert run.code == 0, run.output
    assert trained(run) == {"neggrad": 2}
    assert sampled(run) == 2
    after = hash_tree(own / STORE)
    assert set(after) == set(before)
    changed = {name.split("/")[0] for name in before if after[name] != before[name]}
    assert changed == {"neggrad"}
    now, then = (
        pd.read_csv(report / "trials.csv").set_index(["method", "seed"])
        for report in (own / "data/08_reporting/compare", compared.report)
    )
    others = [method for method in ["base", *TRIED] if method != "neggrad"]
    assert now.loc[others].equals(then.loc[others])
    assert (now.loc["neggrad", "fid"] != then.loc["neggrad", "fid"]).all()


def test_the_notebook_reads_it(compared, own):
    """Every cell runs, and shows the figures of this comparison."""
    run = run_command(
        own, BIN / "jupyter-execute", "--inplace", "read_comparison.ipynb", cwd=own / "notebooks"
    )
    assert run.code == 0, run.output
    cells = json.loads((own / "notebooks/read_comparison.ipynb").read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    data = [output["data"] for output in outputs if "data" in output]
    tables = "".join("".join(each.get("text/html", "")) for each in data)
    document = json.loads((compared.report / "comparison.json").read_text())
    for row in document["methods"]:
        assert tables.count(f"<th>{row['method']}</th>") >= 1
        assert f"<td>{row['fid']:.3f}</td>" in tables
    assert any("image/png" in each for each in data)


def test_a_method_that_fails_leaves_the_earlier_comparison(own, quick_run):
    before = hash_tree(own / "data")
    configure(own, {**TINY_COMPARISON, "neggrad": {**SHORT, "learning_rate": 1.0e30}})
    run = quick_run(own, "--pipeline=compare")
    assert_one_line(run, "neggrad: the gradient is", "learning_rate")
    assert trained(run) == {"neggrad": 1}
    assert hash_tree(own / "data") == before


def kill_after_the_first_trial(project, quick_run):
    """Start the comparison and kill it as soon as one trial has been trained; which ones have."""
    run, finished = quick_run.start(project, "kedro", "run", "--pipeline=compare"), f"*/*/trained/{KEY}"
    done = wait_until(lambda: list((project / STORE).glob(finished)), run, run.log, every=0.01)
    run.send_signal(signal.SIGKILL)
    assert run.finish().code == -signal.SIGKILL
    return Counter(path.parts[-4] for path in done)


def test_a_killed_comparison_goes_on_where_it_stopped(compared, project, trials, quick_run, tmp_path):
    own = start_afresh(project, tmp_path / "project")
    done = kill_after_the_first_trial(own, quick_run)
    before = hash_tree(own / STORE)
    run = quick_run(own, "--pipeline=compare")
    assert run.code == 0, run.output
    assert done
    assert trained(run) == EACH_ONCE - done
    after = hash_tree(own / STORE)
    finished = {name for name in before if "/trained/" in name and not name.split("/")[2].startswith(".")}
    assert {name: after[name] for name in finished} == {name: before[name] for name in finished}
    again = pd.read_csv(own / "data/08_reporting/compare/trials.csv")
    assert again[["method", "seed", *METRICS]].equals(trials[["method", "seed", *METRICS]])
