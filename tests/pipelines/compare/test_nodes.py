import json
from functools import cache
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest

from erasediff_pipeline.config import CompareSettings, ReportSettings
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier
from erasediff_pipeline.experiments.comparison import COSTS, compared_metrics
from erasediff_pipeline.experiments.distance import COUNTS
from erasediff_pipeline.experiments.trials import Trial
from erasediff_pipeline.hashing import hash_weights
from erasediff_pipeline.parameters import Parameters
from erasediff_pipeline.pipelines.compare import nodes
from tests.helpers.requests import request
from tests.helpers.tasks import toy_manifest

REQUEST = request(forget_images=40, retain_images=80)
METRICS_OF = {"base": 4.0, "esd": 6.0, "retrain": 5.0}


@pytest.fixture(scope="module")
def trials(toy_images):
    """Trials of the base model and two methods; a third was left out of the comparison; read only."""

    def trial(method, seed, fid):
        measured = {**dict.fromkeys(compared_metrics()), "forget_accuracy": 0.5, "fid": fid + seed}
        costs = dict.fromkeys(COSTS, None if method == "base" else 7)
        curves = None if method == "base" else pd.DataFrame({"step": [0, 5], "forget_loss": [0.2, 0.1]})
        row = {"method": method, "seed": seed, "fid_backend": "classifier", **measured, **costs}
        row |= {"unguided": {"fid": 3 * fid}, **dict.fromkeys(COUNTS, 200)}
        return Trial(row, toy_images, curves)

    return [*([trial(name, seed, fid) for seed in (0, 1)] for name, fid in METRICS_OF.items()), []]


def bench(pipeline=None, **changes):
    """What the nodes read of a bench."""
    return SimpleNamespace(
        base_model=ModelWithHistory(pipeline),
        task=SimpleNamespace(request=REQUEST.model_copy(update=changes)),
    )


@pytest.mark.parametrize(
    ("method", "by", "chosen", "tried"),
    [
        *(("esd", "classes", chosen, True) for chosen in (None, ["esd"], ["retrain", "esd"])),
        ("esd", "classes", ["retrain"], False),
        *((name, "ids", None, False) for name in ("esd", "selective_amnesia")),
        *((name, "ids", None, True) for name in ("salun", "erasediff")),
    ],
)
def test_a_method_is_tried_where_it_can_be_and_is_named(monkeypatch, method, by, chosen, tried):
    """Or the comparison names none; by ids there is nothing to try for what forgets classes only."""
    calls = []
    monkeypatch.setattr(nodes, "try_method", lambda *given: calls.append(given[3::2]))
    compare = CompareSettings(methods=chosen, seeds=2)
    nodes.try_each_seed(method)(bench(by=by), "store", compare, Parameters().esd, 5, "workspace")
    assert calls == ([(method, 5), (method, 6)] if tried else [])


def test_the_retrained_model_may_have_more_seeds(monkeypatch):
    monkeypatch.setattr(nodes, "try_method", lambda *given: given[3::2])
    for seeds, count in ((1, 3), (4, 4)):
        compare = CompareSettings(seeds=seeds, retrained_seeds=3)
        given = (bench(), "store", compare, Parameters().pretrain, 5, "workspace")
        assert nodes.try_each_seed("retrain")(*given) == [("retrain", 5 + i) for i in range(count)]
        assert len(nodes.try_each_seed("esd")(*given)) == seeds


def test_tables_have_a_row_a_trial_and_a_row_a_method(trials):
    rows, summary, _ = nodes.tabulate(bench(), CompareSettings(seeds=2), *trials)
    assert list(rows.columns) == ["method", "seed", *compared_metrics(), *COUNTS, *COSTS]
    assert rows["method"].tolist() == [name for name in METRICS_OF for _ in (0, 1)]
    assert rows["seed"].tolist() == [0, 1] * 3
    means = {name: fid + 0.5 for name, fid in METRICS_OF.items()}
    assert summary.set_index("method")["fid"].to_dict() == means
    assert list(summary["unguided_fid"]) == [12, 18, 15]


def test_with_three_retrained_models_the_nearest_comes_first(trials, caplog):
    base, esd, retrain, _ = trials
    with caplog.at_level("INFO"):
        nodes.tabulate(bench(), CompareSettings(seeds=2), *trials)
    assert "no distance to the retrained models: it needs 3 retrained models, here 2" in caplog.text
    far = [trial._replace(row=trial.row | {"forget_accuracy": 1.0}) for trial in base]
    _, summary, _ = nodes.tabulate(bench(), CompareSettings(seeds=2), far, esd, [*retrain, retrain[0]])
    assert summary["method"].tolist() == ["esd", "retrain", "base"]
    assert summary["distance"].tolist()[:2] == [0, 0]


def test_the_document_is_json_without_nan(trials):
    _, summary, document = nodes.tabulate(bench(), CompareSettings(seeds=2), *trials)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["forget"] == REQUEST.to_json()
    base = document["methods"][0]  # without three retrained models there is no distance to sort by
    found = base["distance"], base["precision"], base["wall_seconds"], base["fid"]
    assert found == (None, None, None, 4.5)
    assert set(base) == set(summary.columns)


@pytest.fixture(scope="module")
def report(trials, unet_model, toy_images):
    """``report(…)``: trade-off, grids and page of these trials, with these settings of the report."""
    base, compare = bench(unet_model().to_pipeline()), CompareSettings(seeds=2)
    base.classifier, base.task.images = Classifier(classes=3), toy_images
    base.task.manifest = toy_manifest(toy_images)
    settings = {"esd": Parameters().esd, "salun": Parameters().salun, "sampling": {"steps": 15}}
    names = base.task.manifest["label"].map({0: "zero", 1: "1", 2: "2"})
    names = base.task.manifest.assign(**{"class": names})

    @cache
    def make(**changes):
        summary = nodes.tabulate(base, compare, *trials)[1]
        shown = ReportSettings(grid_columns=2, **changes)
        return nodes.report_comparison(summary, base, compare, shown, settings, names, *trials)

    return make


def test_report_is_of_the_first_seed_and_of_what_was_tried(report, unet_model):
    trade_off, grids, page = report()
    titles = [axes.get_title() for axes in grids.axes]
    assert titles == list(METRICS_OF)
    assert "FID" in trade_off.axes[0].get_ylabel()
    assert page.startswith("<!doctype html>")
    assert grids.axes[0].get_yticklabels()[0].get_text() == "0 zero"
    weights = hash_weights(unet_model().to_pipeline().unet)
    for told in (
        "class 0 zero",
        "f0f0",
        "1e1e",
        weights,
        "negative_guidance",
        "sampling",
        "of 24 unseen real",
    ):
        assert told in page
    assert "mask_fraction" not in page  # of a method that was not tried


def test_forgotten_rows_can_be_left_out(report):
    """Class 0 of three."""
    grids = (report()[1], report(hide_forgotten=True)[1])
    whole, rest = (figure.axes[0].images[0].get_array().shape[0] for figure in grids)
    assert rest * 3 == whole * 2


def test_without_a_run_nothing_is_tracked(trials):
    assert mlflow.active_run() is None
    summary = nodes.tabulate(bench(), CompareSettings(), *trials)[1]
    nodes.track_methods(summary, {}, *trials)
