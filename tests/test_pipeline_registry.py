import re

import pytest
import yaml

from erasediff_pipeline.parameters import Parameters
from erasediff_pipeline.pipeline_registry import register_pipelines
from erasediff_pipeline.unlearning.registry import METHODS
from tests.helpers.project import ROOT

MODELS_AND_DATA = {"base_model", "images", "manifest", "classifier"}
PLACES = {"workspace"}
WRITTEN = {"split", "erased_model", "metrics", "run", "grid", "report"}
WRITTEN |= {f"{which}_{name}" for which in ("base", "erased") for name in ("samples", "sampled")}


@pytest.fixture(scope="module")
def pipelines():
    return register_pipelines()


def inputs(pipeline):
    """Without parameters, and without what the tracking hook hands over."""
    free = {name for name in pipeline.inputs() if not name.startswith("params:")}
    return free - {"parameters", "on_log", "outbox"}


def test_the_names_that_can_be_run_and_that_two_make_what_unlearn_needs(pipelines):
    assert {"prepare", "pretrain", "unlearn", "compare", "__default__"} <= set(pipelines)
    assert {entry.pipeline for entry in METHODS.values()} <= set(pipelines)
    made = pipelines["prepare"].all_outputs() | pipelines["pretrain"].all_outputs()
    assert made >= MODELS_AND_DATA


def test_default_needs_no_data_and_makes_everything(pipelines):
    assert inputs(pipelines["__default__"]) == {"workspace"}
    assert pipelines["__default__"].all_outputs() >= pipelines["unlearn"].all_outputs() | MODELS_AND_DATA


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_whole_chain_of_its_own(pipelines, method):
    chain = pipelines[METHODS[method].pipeline]
    assert {f"{method}.{name}" for name in WRITTEN} <= chain.all_outputs()
    assert inputs(chain) == MODELS_AND_DATA | PLACES


def test_every_parameter_that_is_read_exists(pipelines):
    for name, pipeline in pipelines.items():
        read = {each.removeprefix("params:") for each in pipeline.inputs() if each.startswith("params:")}
        assert read <= set(Parameters.model_fields), name


def test_before_and_after_are_judged_alike(pipelines):
    """The same inputs but for the model and what was drawn from it."""

    def judge(task, which):
        (node,) = (node for node in pipelines["unlearn"].nodes if node.name.endswith(f"{task}_{which}"))
        return node.func.__qualname__, " ".join(node.inputs).replace(f"erasediff.{which}_", "erasediff.")

    for task in ("sample", "membership", "gather"):
        function, read = judge(task, "base")
        assert judge(task, "erased") == (function, read.replace("starting_model", "model"))


def test_the_methods_page_has_a_row_for_each():
    page = (ROOT / "docs/reference/methods.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)\.py`", page, re.MULTILINE)
    assert rows == [(entry.pipeline, name) for name, entry in METHODS.items()]


def test_dvc_makes_the_comparison_anew_if_parameters_of_any_method_change():
    stages = yaml.safe_load((ROOT / "benchmarks/dvc.yaml").read_text())["stages"]
    tracked = {name: set() for name in ("retrain", "table")}
    for name, keys_of_stage in tracked.items():
        for file, keys in (item for part in stages[name]["params"] for item in part.items()):
            keys_of_stage |= set(keys or yaml.safe_load((ROOT / file).read_text()))
    files = (ROOT / "conf/base").glob("parameters*.yml")
    sections = {name for file in files for name in yaml.safe_load(file.read_text())}
    methods = {entry.parameters for entry in METHODS.values()}
    assert tracked["table"] >= methods & sections | tracked["retrain"]  # defaults in code are among the deps
    assert stages["table"]["deps"] == stages["retrain"]["deps"]


def test_compare_tries_the_base_model_and_every_method(pipelines):
    compare = pipelines["compare"]
    assert inputs(compare) == MODELS_AND_DATA | PLACES | {"compare.store"}
    assert {f"params:{entry.parameters}" for entry in METHODS.values()} <= compare.inputs()
    made = {f"{name}_trials" for name in ("base", *METHODS)}
    made |= {"trials", "summary", "comparison", "trade_off", "grids", "report"}
    assert {f"compare.{name}" for name in made} <= compare.all_outputs()


def test_contract_of_the_places_on_disk():
    text = (ROOT / "conf/base/catalog.yml").read_text().replace("${globals:environment}", "")
    catalog = yaml.safe_load(text)
    assert catalog["{method}.metrics"]["filepath"] == "data/08_reporting/{method}/metrics.json"
    assert catalog["{method}.run"]["filepath"] == "data/08_reporting/{method}/run.json"
    assert catalog["{method}.erased_model"]["filepath"] == "data/06_models/{method}"


def test_images_that_the_base_model_draws_come_with_the_names_of_their_classes(pipelines):
    assert "source_report" in pipelines["generate"].all_outputs()
