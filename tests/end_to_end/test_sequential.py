"""Requests one after the other, each to the model that the one before has left."""

import pandas as pd
import pytest
from diffusers import DDPMPipeline

from erasediff_pipeline.hashing import hash_weights
from tests.helpers import project as helpers
from tests.helpers.project import QUICK, client_of, copy_clone, hash_tree, read_json, runs_in

HISTORY = "data/06_models/erasediff/request_history.json"


def sha256_of(model):
    return hash_weights(DDPMPipeline.from_pretrained(model, local_files_only=True).unet)


@pytest.fixture(scope="module")
def second(earlier, quick_run, tmp_path_factory):
    """The digit 0 was forgotten; now the digit 1, in the same place; read only."""
    target = copy_clone(earlier.project, tmp_path_factory.mktemp("second") / "project")
    request = f"--params=base=erasediff,forget.classes=1,{QUICK}"
    return helpers.Made(target, quick_run(target, "--pipeline=unlearn", request))


@pytest.fixture(scope="module")
def sequel(second):
    return second.project


@pytest.fixture(scope="module")
def metrics(second):
    return read_json(second.report / "metrics.json")


def manifest_of(project):
    return pd.read_parquet(project / "data/03_primary/manifest.parquet").set_index("id")


def training_ids(project, label):
    return sorted(manifest_of(project).query(f"label == {label} and split == 'train'").index)


def labels_of(project, name):
    """How many images of each class one side of the split has."""
    split = pd.read_parquet(project / "data/05_model_input/erasediff/split.parquet")
    return manifest_of(project)["label"][split["id"][split["set"] == name]].value_counts().to_dict()


def test_the_model_knows_both_requests(earlier, sequel, metrics):
    first, both = read_json(earlier.project / HISTORY), read_json(sequel / HISTORY)
    assert both[:1] == first
    told = [(entry["by"], entry["classes"], entry["method"]) for entry in both]
    assert told == [("classes", [0], "erasediff"), ("classes", [1], "erasediff")]
    forget = metrics["forget"]
    assert forget == read_json(sequel / "data/05_model_input/erasediff/request.json")
    assert (forget["classes"], forget["earlier"]) == ([1], first)


def test_the_second_request_started_from_the_first_ones_model(earlier, second, sequel):
    started = sha256_of(earlier.model)
    assert read_json(sequel / HISTORY)[1]["base_model_sha256"] == started
    provenance = read_json(second.report / "run.json")["provenance"]
    assert provenance["base_model_sha256"] == started
    assert provenance["parameters"]["base"] == "erasediff"
    assert provenance["erased_model_sha256"] == sha256_of(second.model) != started
    base = "data/06_models/base"
    assert hash_tree(sequel / base) == hash_tree(earlier.project / base)


def test_what_was_forgotten_before_is_in_neither_set(earlier, sequel, metrics):
    assert list(labels_of(earlier.project, "forget")) == [0]
    before, retained = labels_of(earlier.project, "retain"), labels_of(sequel, "retain")
    assert labels_of(sequel, "forget") == {1: before.pop(1)}
    assert retained == before
    assert metrics["erased"]["real_images"] == sum(retained.values())


def test_the_training_holds_what_was_forgotten_before(earlier, second):
    """Of a step's passes, two are ``indifference``: forget and retain loss with their targets, then these."""
    costs = [read_json(made.report / "run.json")["cost"] for made in (earlier, second)]
    assert [cost["denoiser_evaluations"] for cost in costs] == [2 * 4 * 32, 2 * 6 * 32]


def test_each_forgotten_class_is_measured_and_shown(second, metrics):
    run = runs_in(client_of(second.project))[0]
    for which in ("base", "erased"):
        by_class = metrics[which]["forget_accuracy_by_class"]
        assert set(by_class) == {"0", "1"}
        assert metrics[which]["forget_accuracy"] == pytest.approx(sum(by_class.values()) / 2)
        assert (metrics[which]["forget_samples"], metrics[which]["retain_samples"]) == (2 * 8, 8 * 8)
        for label, value in by_class.items():
            assert run.data.metrics[f"{which}.forget_accuracy_by_class.{label}"] == value
    for text in (second.run.output, (second.report / "report.html").read_text()):
        for words in ("… of class 0", "… of class 1", "after 0"):
            assert words in text


BEFORE = "this model has forgotten it before"


@pytest.mark.parametrize(
    ("pipeline", "params", "said"),
    [
        ("unlearn", "forget.classes=0,base=erasediff", ["forget.classes: '0'", BEFORE]),
        ("unlearn", "base=erasediff", ["forget.classes: '0'", BEFORE]),  # of conf/base
        ("unlearn", "base=nowhere,forget.classes=2", ["base_model: data/06_models/nowhere is missing"]),
        ("unlearn", "base=../06_models/base,forget.classes=2", ["base: '../06_models/base': "]),
        ("pretrain", "base=erasediff", ["base: 'erasediff'", "'base'"]),
        ("__default__", "base=erasediff", ["base: 'erasediff'", "'base'"]),
    ],
)
def test_what_contradicts_the_history_is_refused(sequel, quick_run, pipeline, params, said):
    quick_run.refuses(sequel, f"--pipeline={pipeline}", f"--params={params}", said=said)


def test_an_image_of_a_forgotten_class_is_refused(sequel, quick_run, tmp_path):
    of_1 = training_ids(sequel, 1)[0]
    (tmp_path / "ids.csv").write_text(f"id\n{of_1}\n")
    request = f"--params=base=erasediff,forget.ids_file={tmp_path / 'ids.csv'}"
    quick_run.refuses(sequel, "--pipeline=unlearn", request, said=["forget.ids_file", f"'{of_1}'", BEFORE])


def test_images_after_two_classes_by_another_method(sequel, quick_run, tmp_path):
    own = copy_clone(sequel, tmp_path / "project")
    helpers.configure(own, helpers.TINY)
    of_2 = training_ids(own, 2)[:20]
    (own / "ids.csv").write_text("\n".join(["id", *of_2]))
    quick_run(own, "--pipeline=neggrad", "--params=base=erasediff,forget.ids_file=ids.csv")

    history = read_json(own / "data/06_models/neggrad/request_history.json")
    assert history[:2] == read_json(sequel / HISTORY)
    assert (history[2]["method"], history[2]["ids"]) == ("neggrad", of_2)
    metrics = read_json(own / "data/08_reporting/neggrad/metrics.json")
    assert (metrics["forget"]["by"], metrics["forget"]["classes"]) == ("ids", [2])
    for which in ("base", "erased"):
        assert set(metrics[which]["forget_accuracy_by_class"]) == {"0", "1"}
        assert 0 < metrics[which]["forget_membership_auc"] < 1
    assert hash_tree(own / "data/06_models/erasediff") == hash_tree(sequel / "data/06_models/erasediff")
