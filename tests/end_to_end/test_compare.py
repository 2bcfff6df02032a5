"""The comparison."""

import re
import shutil
import signal
from collections import Counter

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from erasediff_pipeline.experiments.comparison import COSTS, compared_metrics
from erasediff_pipeline.experiments.distance import COUNTS
from erasediff_pipeline.experiments.store import KEY
from erasediff_pipeline.unlearning.neggrad import NegGradSettings
from tests.helpers import project as helpers
from tests.helpers.page import Reader, assert_self_contained
from tests.helpers.project import BIN, SHORT, TINY, configure, copy_clone, hash_tree, read_json

COMPARE = "--pipeline=compare"
TRIED = ["erasediff", "neggrad", "retrain"]
SEEDS = {"base": 2, "erasediff": 2, "neggrad": 2, "retrain": 3}
RETRAIN = {"steps": 40, "batch_size": 32, "ema_decay": 0.0, "condition_dropout": 0.0}
"""Enough that some of its samples are taken for a class: the distance has a noise floor."""
TINY_COMPARISON = {
    **TINY,
    "pretrain": RETRAIN,
    "compare": {"methods": TRIED, "seeds": 2, "retrained_seeds": 3},
}
EACH_ONCE = Counter({method: SEEDS[method] for method in TRIED})
STORE = "data/06_models/compare"
REPORT = "data/08_reporting/compare"


def start_afresh(project, target):
    """A project where nothing has been compared yet, not even what ``dvc pull`` brings."""
    copy_clone(project, target)
    shutil.rmtree(target / STORE, ignore_errors=True)
    configure(target, TINY_COMPARISON)
    return target


@pytest.fixture(scope="module")
def compared(project, quick_run, tmp_path_factory):
    """Three methods and two seeds, three of the retrained model; read only."""
    target = start_afresh(project, tmp_path_factory.mktemp("compared") / "project")
    return helpers.Made(target, quick_run(target, COMPARE))


@pytest.fixture
def own(compared, tmp_path):
    """The same with its results, for one test alone."""
    return copy_clone(compared.project, tmp_path / "project")


@pytest.fixture(scope="module")
def trials(compared):
    return pd.read_csv(compared.project / REPORT / "trials.csv")


@pytest.fixture(scope="module")
def document(compared):
    return read_json(compared.project / REPORT / "comparison.json")


@pytest.fixture(scope="module")
def told(document):
    return pd.DataFrame(document["methods"]).set_index("method")


def trained(run):
    """How often each method was trained: every training says once that it is at step 0."""
    return Counter(re.findall(r"^(\w+): step 0/\d+, 00:00 elapsed", run.output, re.MULTILINE))


def sampled(run):
    return len(re.findall(r"sample \w+: image 0/80, 00:00 elapsed", run.output))


def test_every_trial_was_trained_and_judged_once(compared, trials):
    assert trained(compared.run) == EACH_ONCE
    assert sampled(compared.run) == sum(SEEDS.values())
    assert list(trials.columns) == ["method", "seed", *compared_metrics(), *COUNTS, *COSTS]
    rows = list(zip(trials["method"], trials["seed"], strict=True))
    assert rows == [(method, seed) for method, seeds in SEEDS.items() for seed in range(seeds)]
    assert trials[["fid", "unguided_fid"]].notna().all(axis=None)
    assert (trials["fid"] != trials["unguided_fid"]).all()
    assert trials["forget_membership_auc"].isna().all()


def test_costs_are_those_of_the_methods(trials):
    costs = trials.set_index("method")[COSTS]
    assert costs.loc["base"].isna().all(axis=None)
    assert (costs.loc[TRIED] > 0).all(axis=None)
    assert set(costs.loc["retrain", "denoiser_evaluations"]) == {RETRAIN["steps"] * 32}
    assert set(costs.loc["erasediff", "denoiser_evaluations"]) == {2 * 4 * 32}


def test_document_and_summary_hold_the_means_over_the_seeds(compared, document, told, trials):
    assert document["forget"]["classes"] == [0]
    summary = pd.read_csv(compared.project / REPORT / "summary.csv", index_col="method")
    assert set(told.index) == {"base", *TRIED}
    assert set(told.columns) == set(summary.columns)
    assert_frame_equal(summary[["fid", "distance"]], told[["fid", "distance"]], rtol=1e-4)

    names = compared_metrics() + COSTS
    means = trials.groupby("method")[names].mean().loc[told.index]
    assert_frame_equal(told[names].astype(float), means, rtol=1e-4)
    intervals = told[[f"{name}_interval" for name in names]].astype(float).to_numpy()
    assert (intervals[means.notna().to_numpy()] >= 0).all()
    assert told["seeds"].to_dict() == SEEDS


def test_the_nearest_to_the_retrained_models_comes_first(told):
    assert told["distance"].is_monotonic_increasing
    assert 0 < told["distance"]["retrain"] < told["distance"]["base"]


def test_page_has_it_all_and_fetches_nothing(compared):
    page = (compared.project / REPORT / "report.html").read_text()
    assert_self_contained(page)
    reader = Reader(page)
    assert len(reader.fetched) == 2
    names = [row[0] for row in reader.rows]
    assert all(names.count(method) == 2 for method in ["base", *TRIED])  # measured, and distances
    assert "class 0 (142 images)" in page
    assert "Means over the seeds" in page
    assert "No farther from the retrained models" in page
    for name in ("trade_off.png", "grids.png"):
        assert (compared.project / REPORT / name).read_bytes().startswith(b"\x89PNG")


def test_nothing_else_was_touched(compared, project):
    """Neither the models that it starts from, nor what a method's own pipeline has left."""
    before, after = (hash_tree(root / "data") for root in (project, compared.project))
    changed = {name for name, _ in before.items() ^ after.items()}
    ours = ("05_model_input/compare/", "06_models/compare/", "08_reporting/compare/")
    assert [name for name in changed if not name.startswith(ours)] == []


def test_the_comparison_is_one_run_and_each_method_one_below_it(compared, document):
    client = helpers.client_of(compared.project)
    runs = helpers.runs_in(client)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert (parent.info.run_name, parent.info.status) == ("compare", "FINISHED")
    assert parent.data.params["compare.seeds"] == "2"
    artifacts = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert artifacts == {"trade_off.png", "grids.png", "report.html"}

    children = {run.info.run_name: run for run in runs if run is not parent}
    assert len(runs) == 1 + len(children)
    assert set(children) == {"base", *TRIED}
    for row in document["methods"]:
        run = children[row["method"]]
        assert run.info.status == "FINISHED"
        assert run.data.tags["method"] == row["method"]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        measured = {name: value for name, value in row.items() if isinstance(value, int | float)}
        assert {name: run.data.metrics[name] for name in measured} == pytest.approx(measured, rel=1e-4)
    assert children["neggrad"].data.params["retain_weight"] == str(NegGradSettings().retain_weight)
    assert children["retrain"].data.params["steps"] == str(RETRAIN["steps"])
    assert "steps" not in children["base"].data.params
    points = client.get_metric_history(children["neggrad"].info.run_id, "forget_loss")
    assert sorted(point.step for point in points) == [0, 1]


def test_a_second_run_trains_nothing(compared, own, quick_run):
    before = hash_tree(own / STORE)
    run = quick_run(own, COMPARE)
    assert trained(run) == Counter()
    assert sampled(run) == 0
    assert hash_tree(own / STORE) == before
    assert run.seconds < compared.run.seconds
    for name in ("trials.csv", "summary.csv", "comparison.json", "trade_off.png", "grids.png"):
        again = own / REPORT / name
        assert again.read_bytes() == (compared.project / REPORT / name).read_bytes(), name


def test_a_changed_setting_trains_just_that_method_anew(trials, own, quick_run):
    before = hash_tree(own / STORE)
    configure(own, {**TINY_COMPARISON, "neggrad": {**SHORT, "retain_weight": 0.5}})
    run = quick_run(own, COMPARE)
    assert trained(run) == {"neggrad": 2}
    assert sampled(run) == 2
    after = hash_tree(own / STORE)
    assert set(after) == set(before)
    assert {name.split("/")[0] for name in before if after[name] != before[name]} == {"neggrad"}
    again, anew = pd.read_csv(own / REPORT / "trials.csv"), trials["method"] == "neggrad"
    assert_frame_equal(again[~anew], trials[~anew], check_exact=True, check_dtype=False)  # 1 may become 1.0
    assert (again["fid"] != trials["fid"])[anew].all()


def test_the_notebook_reads_it(told, own):
    """Every cell runs, and shows the figures of this comparison."""
    notebook = own / "notebooks/read_comparison.ipynb"
    helpers.run_command(own, BIN / "jupyter-execute", "--inplace", notebook.name, cwd=notebook.parent)
    outputs = [output for cell in read_json(notebook)["cells"] for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    data = [output["data"] for output in outputs if "data" in output]
    tables = "".join("".join(each.get("text/html", "")) for each in data)
    for method, fid in told["fid"].items():
        assert f"<th>{method}</th>" in tables
        assert f"<td>{fid:.3f}</td>" in tables
    assert any("image/png" in each for each in data)


def test_a_method_that_fails_leaves_the_earlier_comparison(own, quick_run):
    before = hash_tree(own / "data")
    configure(own, {**TINY_COMPARISON, "neggrad": {**SHORT, "learning_rate": 1.0e30}})
    run = quick_run(own, COMPARE, check=False)
    helpers.assert_one_line(run, "neggrad: the gradient is", "learning_rate")
    assert trained(run) == {"neggrad": 1}
    assert hash_tree(own / "data") == before


def test_a_killed_comparison_goes_on_where_it_stopped(project, trials, quick_run, tmp_path):
    own = start_afresh(project, tmp_path / "project")
    store, run = own / STORE, quick_run.start(own, "run", COMPARE)
    found = helpers.wait_until(lambda: list(store.glob(f"*/*/trained/{KEY}")), run, run.log, every=0.01)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    done = Counter(path.parts[-4] for path in found)
    before = hash_tree(store)
    run = quick_run(own, COMPARE)
    assert trained(run) == EACH_ONCE - done
    after = hash_tree(store)
    changed = {name for name, _ in before.items() - after.items()}
    assert not {name for name in changed if "/trained/" in name and not name.split("/")[2].startswith(".")}
    columns = ["method", "seed", *compared_metrics()]
    assert pd.read_csv(own / REPORT / "trials.csv")[columns].equals(trials[columns])
