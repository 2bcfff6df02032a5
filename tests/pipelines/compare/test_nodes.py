import json
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest

from erasediff_pipeline.config import CompareSettings, ReportSettings
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier
from erasediff_pipeline.experiments.comparison import COSTS, compared_metrics
from erasediff_pipeline.experiments.trials import Trial
from erasediff_pipeline.hashing import hash_weights
from erasediff_pipeline.parameters import Parameters
from erasediff_pipeline.pipelines.compare import nodes
from tests.helpers.requests import request

REQUEST = request(forget_images=40, retain_images=80)
METRICS_OF = {"base": 4.0, "esd": 6.0, "retrain": 5.0}


@pytest.fixture
def trials(toy_images):
    """Trials of the base model and two methods; a third was left out of the comparison."""

    def trial(method, seed, fid):
        measured = {**dict.fromkeys(compared_metrics()), "forget_accuracy": 0.5, "fid": fid + seed}
        costs = dict.fromkeys(COSTS, None if method == "base" else 7)
        curves = None if method == "base" else pd.DataFrame({"step": [0, 5], "forget_loss": [0.2, 0.1]})
        row = {"method": method, "seed": seed, "fid_backend": "classifier", **measured, **costs}
        return Trial(row, toy_images, curves)

    return [*([trial(name, seed, fid) for seed in (0, 1)] for name, fid in METRICS_OF.items()), []]


def bench(pipeline=None, **changes):
    """What the nodes read of a bench."""
    return SimpleNamespace(
        base_model=ModelWithHistory(pipeline),
        task=SimpleNamespace(request=REQUEST.model_copy(update=changes)),
        classifier=Classifier(channels=8, features=4, classes=3),
    )


@pytest.mark.parametrize(
    ("chosen", "tried"), [(None, True), (["esd"], True), (["retrain", "esd"], True), (["retrain"], False)]
)
def test_a_method_is_tried_where_the_comparison_names_it_or_names_none(monkeypatch, chosen, tried):
    calls = []
    monkeypatch.setattr(nodes, "try_method", lambda *given: calls.append(given[3::2]))
    compare = CompareSettings(methods=chosen, seeds=2)
    nodes.try_each_seed("esd")(bench(), "store", compare, Parameters().esd, 5, "workspace")
    assert calls == ([("esd", 5), ("esd", 6)] if tried else [])


@pytest.mark.parametrize(
    ("method", "tried"), [("esd", False), ("selective_amnesia", False), ("salun", True), ("erasediff", True)]
)
def test_a_comparison_by_ids_leaves_out_what_forgets_classes_only(monkeypatch, method, tried):
    calls = []
    monkeypatch.setattr(nodes, "try_method", lambda *given: calls.append(given[3]))
    nodes.try_each_seed(method)(bench(by="ids"), "store", CompareSettings(), None, 0, "workspace")
    assert calls == ([method] if tried else [])


def test_tables_have_a_row_a_trial_and_a_row_a_method(trials):
    rows, summary, _ = nodes.tabulate(bench(), CompareSettings(seeds=2), *trials)
    assert list(rows.columns) == ["method", "seed", *compared_metrics(), *COSTS]
    assert list(zip(rows["method"], rows["seed"], strict=True)) == [
        (name, seed) for name in METRICS_OF for seed in (0, 1)
    ]
    assert dict(zip(summary["method"], summary["fid"], strict=True)) == {
        name: fid + 0.5 for name, fid in METRICS_OF.items()
    }


def test_entropy_is_taken_relative_to_the_classes_that_the_judge_knows(trials):
    for trial in trials[1]:
        trial.row["forget_entropy"] = 1.0
    for trial in trials[2]:
        trial.row["forget_entropy"] = 0.0
    _, summary, _ = nodes.tabulate(bench(), CompareSettings(), *trials)
    distances = summary.set_index("method")["forget_entropy_distance"]
    assert distances["esd"] == pytest.approx(1 / 1.0986123)  # ln 3


def test_the_document_is_json_without_nan(trials):
    _, summary, document = nodes.tabulate(bench(), CompareSettings(seeds=2), *trials)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["forget"] == REQUEST.to_json()
    assert [row["method"] for row in document["methods"]] == ["retrain", "base", "esd"]  # by distance
    base = document["methods"][1]
    assert base["precision"] is None
    assert base["wall_seconds"] is None
    assert base["fid"] == 4.5
    assert set(base) == set(summary.columns)


def test_report_is_of_the_first_seed_and_of_what_was_tried(trials, unet_model):
    summary = nodes.tabulate(bench(), CompareSettings(seeds=2), *trials)[1]
    trade_off, grids, page = nodes.report_comparison(
        summary,
        bench(base := unet_model().to_pipeline()),
        CompareSettings(seeds=2),
        ReportSettings(grid_columns=2),
        {"esd": Parameters().esd, "salun": Parameters().salun, "sampling": {"steps": 15}},
        {"classes": [{"label": 0, "name": "zero"}]},
        *trials,
    )
    titles = [axes.get_title() for axes in grids.axes]
    assert titles == list(METRICS_OF)
    assert "FID" in trade_off.axes[0].get_ylabel()
    assert page.startswith("<!doctype html>")
    assert grids.axes[0].get_yticklabels()[0].get_text() == "0 zero"
    for told in ("class 0 zero", "f0f0", "1e1e", hash_weights(base.unet), "negative_guidance", "sampling"):
        assert told in page
    assert "mask_fraction" not in page  # of a method that was not tried


def test_forgotten_rows_can_be_left_out(trials, unet_model):
    summary = nodes.tabulate(bench(), CompareSettings(seeds=2), *trials)[1]
    heights = [
        nodes.report_comparison(
            summary,
            bench(unet_model().to_pipeline()),
            CompareSettings(seeds=2),
            ReportSettings(grid_columns=2, hide_forgotten=hidden),
            {},
            {"classes": []},
            *trials,
        )[1]
        .axes[0]
        .images[0]
        .get_array()
        .shape[0]
        for hidden in (False, True)
    ]
    classes = trials[0][0].samples.classes
    assert set(REQUEST.classes) < set(classes)
    assert heights[1] * len(classes) == heights[0] * (len(classes) - len(REQUEST.classes))


def test_without_a_run_nothing_is_tracked(trials):
    assert mlflow.active_run() is None
    summary = nodes.tabulate(bench(), CompareSettings(), *trials)[1]
    nodes.track_methods(summary, {}, *trials)
