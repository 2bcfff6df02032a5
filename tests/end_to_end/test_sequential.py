"""Requests one after the other, each to the model that the one before has left."""

import json

import mlflow
import pandas as pd
import pytest
from diffusers import DDPMPipeline

from erasediff_pipeline.hashing import hash_weights
from tests.helpers.project import QUICK, TINY, assert_one_line, configure, copy_clone, hash_tree, kept

HISTORY = "data/06_models/erasediff/request_history.json"


def read(path):
    return json.loads(path.read_text())


def sha256_of(model):
    return hash_weights(DDPMPipeline.from_pretrained(model, local_files_only=True).unet)


@pytest.fixture(scope="module")
def second(earlier, quick_run, tmp_path_factory):
    """The digit 0 was forgotten; now the digit 1, in the same place; read only."""
    target = copy_clone(earlier.project, tmp_path_factory.mktemp("second") / "project")
    run = quick_run(target, "--pipeline=unlearn", f"--params=base=erasediff,forget.classes=1,{QUICK}")
    return target, run


@pytest.fixture(scope="module")
def sequel(second):
    return second[0]


@pytest.fixture(scope="module")
def reports(sequel):
    return sequel / "data/08_reporting/erasediff"


def labels_of(sequel, name):
    """How many images of each class one side of the split has."""
    split = pd.read_parquet(sequel / "data/05_model_input/erasediff/split.parquet")
    manifest = pd.read_parquet(sequel / "data/03_primary/manifest.parquet").set_index("id")
    return manifest["label"][split["id"][split["set"] == name]].value_counts().sort_index().to_dict()


def test_the_model_knows_both_requests(earlier, sequel):
    (first,) = read(earlier.project / HISTORY)
    history = read(sequel / HISTORY)
    assert history[0] == first
    assert [(entry["by"], entry["classes"], entry["method"]) for entry in history] == [
        ("classes", [0], "erasediff"),
        ("classes", [1], "erasediff"),
    ]


def test_the_second_request_started_from_the_first_ones_model(earlier, sequel, reports):
    started = sha256_of(earlier.project / "data/06_models/erasediff")
    assert read(sequel / HISTORY)[1]["base_model_sha256"] == started
    provenance = read(reports / "run.json")["provenance"]
    assert provenance["base_model_sha256"] == started
    assert provenance["parameters"]["base"] == "erasediff"
    assert provenance["erased_model_sha256"] == sha256_of(sequel / "data/06_models/erasediff") != started


def test_what_was_forgotten_before_is_in_neither_set(earlier, sequel):
    assert list(labels_of(earlier.project, "forget")) == [0]
    assert list(labels_of(sequel, "forget")) == [1]
    assert list(labels_of(sequel, "retain")) == [2, 3, 4, 5, 6, 7, 8, 9]
    before = labels_of(earlier.project, "retain")
    assert {1: before.pop(1)} == labels_of(sequel, "forget")
    assert before == labels_of(sequel, "retain")


def test_the_request_tells_what_was_before(earlier, sequel, reports):
    forget = read(reports / "metrics.json")["forget"]
    assert forget == read(sequel / "data/05_model_input/erasediff/request.json")
    assert (forget["classes"], forget["earlier"]) == ([1], read(earlier.project / HISTORY))


def test_the_training_holds_what_was_forgotten_before(earlier, reports):
    """Of a step's passes, two are ``indifference``: forget loss, its target, retain loss, then these."""
    first = read(earlier.project / "data/08_reporting/erasediff/run.json")["cost"]
    cost = read(reports / "run.json")["cost"]
    assert first["denoiser_evaluations"] == 2 * 3 * 32
    assert cost["denoiser_evaluations"] == 2 * 5 * 32


def test_each_forgotten_class_is_measured(reports):
    metrics = read(reports / "metrics.json")
    for which in ("base", "erased"):
        by_class = metrics[which]["forget_accuracy_by_class"]
        assert set(by_class) == {"0", "1"}
        assert metrics[which]["forget_accuracy"] == pytest.approx(sum(by_class.values()) / 2)
        assert (metrics[which]["forget_samples"], metrics[which]["retain_samples"]) == (2 * 8, 8 * 8)


def test_real_images_are_those_still_retained(sequel, reports):
    retained = sum(labels_of(sequel, "retain").values())
    assert read(reports / "metrics.json")["erased"]["real_images"] == retained


def test_table_and_report_show_each_class(second, reports):
    page = (reports / "report.html").read_text()
    for text in (second[1].output, page):
        assert "… of class 0" in text
        assert "… of class 1" in text
        assert "after 0" in text


def test_mlflow_has_each_class(sequel, reports):
    client = mlflow.MlflowClient(f"sqlite:///{sequel / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("erasediff_pipeline")
    run = client.search_runs([experiment.experiment_id], order_by=["start_time DESC"])[0]
    metrics = read(reports / "metrics.json")
    for which in ("base", "erased"):
        for label, value in metrics[which]["forget_accuracy_by_class"].items():
            assert run.data.metrics[f"{which}.forget_accuracy_by_class.{label}"] == value


def test_the_base_model_is_as_it_was(earlier, sequel):
    base = "data/06_models/base"
    assert hash_tree(sequel / base) == hash_tree(earlier.project / base)


@pytest.mark.parametrize("classes", ["forget.classes=0,", ""], ids=["named", "of conf/base"])
def test_the_same_class_twice_is_refused(sequel, quick_run, classes):
    quick_run.refuses(
        sequel,
        "--pipeline=unlearn",
        f"--params={classes}base=erasediff",
        said=(
            "forget.classes: '0'",
            "forgotten by this model before",
        ),
    )


def test_an_image_of_a_forgotten_class_is_refused(sequel, quick_run, tmp_path):
    before = kept(sequel)
    manifest = pd.read_parquet(sequel / "data/03_primary/manifest.parquet")
    of_1 = manifest["id"][(manifest["label"] == 1) & (manifest["split"] == "train")].iloc[0]
    (tmp_path / "ids.csv").write_text(f"id\n{of_1}\n")
    request = f"--params=base=erasediff,forget.ids_file={tmp_path / 'ids.csv'}"
    run = quick_run(sequel, "--pipeline=unlearn", request)
    assert_one_line(run, "forget.ids_file", f"'{of_1}'", "forgotten by this model before")
    assert kept(sequel) == before


def test_a_base_that_is_not_there_is_named(sequel, quick_run):
    quick_run.refuses(
        sequel,
        "--pipeline=unlearn",
        "--params=base=nowhere,forget.classes=2",
        said=("base_model: data/06_models/nowhere is missing",),
    )


def test_a_base_elsewhere_is_refused(sequel, quick_run):
    quick_run.refuses(
        sequel,
        "--pipeline=unlearn",
        "--params=base=../06_models/base,forget.classes=2",
        said=("base: '../06_models/base' is refused",),
    )


@pytest.mark.parametrize("pipeline", ["pretrain", "__default__"])
def test_pretraining_over_an_erased_model_is_refused(sequel, quick_run, pipeline):
    quick_run.refuses(
        sequel,
        f"--pipeline={pipeline}",
        "--params=base=erasediff",
        said=(
            "base: 'erasediff'",
            "pretraining would write",
            "allowed is 'base'",
        ),
    )


def test_images_after_two_classes_by_another_method(sequel, quick_run, tmp_path):
    own = copy_clone(sequel, tmp_path / "project")
    configure(own, TINY)
    manifest = pd.read_parquet(own / "data/03_primary/manifest.parquet")
    of_2 = sorted(manifest["id"][(manifest["label"] == 2) & (manifest["split"] == "train")])[:20]
    (own / "ids.csv").write_text("id\n" + "\n".join(of_2) + "\n")
    quick_run(own, "--pipeline=neggrad", "--params=base=erasediff,forget.ids_file=ids.csv")

    first, history = (
        read(own / "data/06_models" / m / "request_history.json") for m in ("erasediff", "neggrad")
    )
    assert history[:2] == first == read(sequel / HISTORY)
    assert (history[2]["method"], history[2]["ids"]) == ("neggrad", of_2)
    metrics = read(own / "data/08_reporting/neggrad/metrics.json")
    assert (metrics["forget"]["by"], metrics["forget"]["classes"]) == ("ids", [2])
    for which in ("base", "erased"):
        assert set(metrics[which]["forget_accuracy_by_class"]) == {"0", "1"}
        assert 0 < metrics[which]["forget_membership_auc"] < 1
    assert hash_tree(own / "data/06_models/erasediff") == hash_tree(sequel / "data/06_models/erasediff")
