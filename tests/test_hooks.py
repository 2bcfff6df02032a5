import os
import re
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline
from kedro_datasets.json import JSONDataset
from pydantic import ValidationError
from rich.table import Table

from erasediff_pipeline import hooks, paths
from erasediff_pipeline.config import Parameters
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.errors import InvalidParameter, InvalidRequest, MissingInput, UserError
from erasediff_pipeline.evaluation.classifiers.pretrained import ImageNetJudge
from erasediff_pipeline.hooks import (
    CheckFirst,
    FlatParameters,
    Follow,
    GoTogether,
    KeepEarlierResult,
    check_shape,
    explain_validation,
    find_remedy,
    show,
)
from erasediff_pipeline.ranks import TRAINING
from erasediff_pipeline.unlearning.registry import METHODS
from tests.helpers.requests import answered


class Catalog:
    """Datasets by name: files below a root, and objects."""

    def __init__(self, files=(), **objects):
        self.files, self.objects = dict(files), objects

    def get(self, name):
        return SimpleNamespace(_filepath=self.files[name]) if name in self.files else SimpleNamespace()

    def load(self, name):
        return self.objects[name]


def explanation(parameters):
    with pytest.raises(ValidationError) as error:
        Parameters.model_validate(parameters)
    line = explain_validation(error.value)
    assert "\n" not in line
    return line


def test_unknown_parameter_names_the_allowed_ones():
    line = explanation({"unlearn": {"stepz": 3}})
    assert line.startswith("unlearn.stepz: unknown parameter: allowed are ")
    assert "steps" in line
    assert "control" in line
    assert "test_fraction" not in line


def test_unknown_section_names_the_allowed_ones():
    line = explanation({"unlern": {}})
    assert line.startswith("unlern: unknown parameter")
    assert "unlearn" in line
    assert "sampling" in line


def test_a_misspelt_key_of_a_gate_names_the_allowed_ones():
    line = explanation({"gates": {"limits": {"fid": {"atmost": 1.1}}}})
    assert line.startswith("gates.limits.fid.atmost: unknown parameter: allowed are at_most, at_least")


def test_out_of_range_names_key_value_and_limit():
    line = explanation({"unlearn": {"steps": 0}})
    assert line.startswith("unlearn.steps: 0 is refused")
    assert "greater than or equal to 1" in line


def test_unknown_choice_names_the_choices():
    line = explanation({"unlearn": {"control": "none"}})
    assert line.startswith("unlearn.control: 'none' is refused")
    assert all(choice in line for choice in ("grad_norm", "value_gap", "cosine", "fixed"))


def test_a_setting_within_an_optional_one_is_explained():
    line = explanation({"denoiser": {"text_to_image": {"autoencoder": {"stepz": 4}}}})
    assert line.startswith("denoiser.text_to_image.autoencoder.stepz: unknown parameter: allowed are")
    assert "kl_weight" in line


def test_two_forms_of_request_are_explained():
    line = explanation({"forget": {"classes": [0], "ids_file": "ids.csv"}})
    assert line.startswith("forget: ")
    assert "exactly one of classes, ids_file and prompts" in line
    assert "Value error" not in line


def test_place_inside_a_list_is_named():
    assert explanation({"forget": {"classes": [0, "x"]}}).startswith("forget.classes.1: 'x' is refused")


def test_unknown_method_names_the_methods():
    line = explanation({"compare": {"methods": ["neggrad", "magic"]}})
    assert line.startswith("compare.methods.1: 'magic' is refused")
    assert all(repr(method) in line for method in METHODS)


def test_more_problems_are_counted():
    assert explanation({"seed": -1, "unlearn": {"steps": 0}}).endswith("(and 1 more)")


@pytest.fixture
def keep(own_project, tmp_path_factory):
    """The hook, over a project with a file and a folder as earlier results."""
    project = own_project
    (project / "data" / "model").mkdir(parents=True)
    (project / "data" / "model" / "weights").write_text("earlier")
    (project / "data" / "metrics.json").write_text("earlier")

    hook = KeepEarlierResult()
    hook.project = project
    hook.outside = tmp_path_factory.mktemp("outside") / "elsewhere/metrics.json"
    files = {name: project / "data" / name for name in ("model", "metrics.json", "fresh.json")}
    hook.files = {**files, "outside": hook.outside}
    start(hook)
    return hook


def start(hook):
    hook.release_lock()  # as the end of the earlier process does
    hook.before_pipeline_run({}, None, Catalog(hook.files))


def save(hook, name):
    """What Kedro does: announce, then write."""
    hook.before_dataset_saved(name)
    path = hook.files[name]
    if name == "model":
        path.mkdir()
        (path / "weights").write_text("new")
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text("new")


def contents(hook):
    root = hook.project / "data"
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


EARLIER = {"model/weights": "earlier", "metrics.json": "earlier"}
NEW = {"model/weights": "new", "metrics.json": "new", "fresh.json": "new"}


def test_success_keeps_the_new(keep):
    for name in ("model", "metrics.json", "fresh.json"):
        save(keep, name)
    keep.after_pipeline_run({})
    assert contents(keep) == NEW


@pytest.mark.parametrize("names", [[], ["model"], ["metrics.json"], ["model", "metrics.json", "fresh.json"]])
def test_failure_puts_all_back(keep, names):
    for name in names:
        save(keep, name)
    keep.on_pipeline_error(RuntimeError())
    assert contents(keep) == EARLIER


def test_failure_in_the_middle_of_a_save_puts_all_back(keep):
    save(keep, "model")
    keep.before_dataset_saved("metrics.json")
    keep.on_pipeline_error(RuntimeError())
    assert contents(keep) == EARLIER


def test_killed_run_is_put_right_by_the_next(keep):
    for name in ("model", "metrics.json", "fresh.json"):
        save(keep, name)
    start(keep)
    assert contents(keep) == EARLIER


def test_what_a_killed_run_was_writing_goes(keep):
    keep.before_dataset_saved("model")
    names = (".model.part", ".model.part.earlier", ".model2.part", "model.part")
    for name in names:
        (keep.project / "data" / name / "fresh").mkdir(parents=True)
    start(keep)
    assert [(keep.project / "data" / name).exists() for name in names] == [False, True, True, True]
    assert contents(keep) == EARLIER


def test_what_a_killed_run_was_writing_outside_of_the_catalog_goes(keep):
    places = (
        ".checkpoints/.a.safetensors.part/.tmpdG7r0e",
        "04_feature/salun/.a.safetensors.part/.tmpdG7r0e",
        ".checkpoints/a.safetensors",
        ".a.part/.tmpdG7r0e",
    )
    for name in places:
        file = keep.project / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("weights")
    start(keep)
    assert [(keep.project / "data" / name).exists() for name in places] == [False, False, True, True]


def test_a_run_killed_at_its_very_end_is_not_undone_by_the_next(keep, monkeypatch):
    """What it had set aside is still there; the next one is killed as it begins to replace the result."""
    save(keep, "metrics.json")
    keep.record.unlink()
    start(keep)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", lambda self, target: pytest.fail("killed before"))
        with pytest.raises(pytest.fail.Exception):
            keep.before_dataset_saved("metrics.json")
    keep.restore()
    assert contents(keep)["metrics.json"] == "new"


def test_a_process_that_reads_batches_does_not_hold_the_lock(keep):
    """As it lives on for a while after its parent was killed."""
    there, here = os.pipe()
    reader = os.fork()
    if reader == 0:
        os.write(here, b"!")
        time.sleep(60)
        os._exit(0)
    try:
        assert os.read(there, 1) == b"!"
        keep.release_lock()
        other = KeepEarlierResult()
        start_again(other, keep)
        other.release_lock()
    finally:
        os.kill(reader, signal.SIGKILL)
        os.waitpid(reader, 0)
        os.close(there)
        os.close(here)


def test_dataset_saved_twice_keeps_the_first_earlier_one(keep):
    save(keep, "metrics.json")
    save(keep, "metrics.json")
    keep.on_pipeline_error(RuntimeError())
    assert contents(keep) == EARLIER


def test_two_runs_in_one_session(keep):
    save(keep, "metrics.json")
    keep.after_pipeline_run({})
    start(keep)
    save(keep, "metrics.json")
    save(keep, "model")
    keep.on_pipeline_error(RuntimeError())
    assert contents(keep) == {"model/weights": "earlier", "metrics.json": "new"}


def test_second_run_is_kept_away(keep):
    """It would take the first one's record for that of a killed run, and undo its work."""
    save(keep, "metrics.json")
    other = KeepEarlierResult()
    with pytest.raises(UserError, match="another run writes there"):
        start_again(other, keep)
    keep.after_pipeline_run({})
    start_again(other, keep)
    assert contents(keep) == {"model/weights": "earlier", "metrics.json": "new"}


def start_again(other, keep):
    other.before_pipeline_run({}, None, Catalog(keep.files))


def test_record_cut_short_by_a_kill_is_read_over(keep):
    save(keep, "metrics.json")
    with keep.record.open("a") as record:
        record.write('{"path": "/some')
    start(keep)
    assert contents(keep) == EARLIER


def test_dataset_in_memory_is_none_of_its_business(keep):
    keep.before_dataset_saved("in_memory")
    assert contents(keep) == EARLIER


@pytest.mark.parametrize("first", [[], ["metrics.json"]])
def test_earlier_result_outside_the_project_is_put_back_too(keep, first):
    """An environment may write to another disk."""
    keep.outside.parent.mkdir()
    keep.outside.write_text("earlier")
    for name in [*first, "outside"]:
        save(keep, name)
    keep.on_pipeline_error(RuntimeError())
    assert keep.outside.read_text() == "earlier"


def test_failure_to_set_aside_loses_nothing(keep, monkeypatch):
    """Noted, but not moved yet: what stands there is still the earlier one."""

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(PermissionError):
            keep.before_dataset_saved("metrics.json")
    keep.on_pipeline_error(PermissionError())
    assert contents(keep) == EARLIER


def test_restoring_that_was_cut_short_can_be_repeated(keep, monkeypatch):
    """Killed after the first of two was put back: the next run must not take it for a new one."""
    save(keep, "model")
    save(keep, "metrics.json")
    rename, calls = Path.rename, []

    def once(self, target):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", once)
        with pytest.raises(KeyboardInterrupt):
            keep.on_pipeline_error(RuntimeError())
    start(keep)
    assert contents(keep) == EARLIER


def test_parameters_reach_mlflow_as_plain_values():
    inputs = {"params:unlearn": Parameters().unlearn, "params:seed": 3, "parameters": {"seed": 3}}
    FlatParameters().before_node_run(None, inputs)
    assert inputs == {"params:unlearn": Parameters().unlearn.model_dump(), "params:seed": 3}


def test_base_model_that_fits_is_accepted(unet_model, toy_images):
    check_shape(unet_model(), "base", toy_images)


def test_base_model_with_too_few_classes_is_refused(unet_model, toy_images):
    images = SimpleNamespace(shape=toy_images.shape, classes=[0, 1, 2, 3])
    with pytest.raises(MissingInput, match=r"of 3 classes, the images are \(1, 8, 8\) of 4"):
        check_shape(unet_model(), "base", images)


def test_base_model_of_another_size_is_refused(unet_model, toy_images):
    images = SimpleNamespace(shape=(3, 32, 32), classes=[0, 1])
    with pytest.raises(MissingInput, match=r"draws \(1, 8, 8\).*the images are \(3, 32, 32\)"):
        check_shape(unet_model(), "base", images)


def test_read_only_place_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks.os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match=r"metrics\.json: .*read-only"):
        hooks.check_writable(tmp_path / "not" / "yet" / "metrics.json")


def test_full_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks.shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * 2**20))
    with pytest.raises(UserError, match=r"metrics\.json: 3 MiB are free there, \d+ MiB are needed"):
        hooks.check_writable(tmp_path / "metrics.json")


def check(chain, catalog, **parameters):
    """What the hook says before this pipeline runs."""
    hook = CheckFirst()
    hook.parameters = Parameters.model_validate(parameters)
    hook.before_pipeline_run({}, chain, catalog)


@pytest.mark.parametrize(
    ("section", "settings", "key"),
    [
        ("unlearn", {"optimiser": "adamw_8bit"}, "unlearn.optimiser"),
        (
            "denoiser",
            {"text_to_image": {"autoencoder": {"optimiser": "adamw_8bit"}}},
            "denoiser.text_to_image.autoencoder.optimiser",
        ),
    ],
)
def test_an_optimiser_that_is_not_installed_is_refused(monkeypatch, section, settings, key):
    """Where the pipeline asks for it; another one's is its own business."""
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    chain = pipeline([node(lambda *_: 0, [f"params:{section}"], "out", name="train")])
    with pytest.raises(MissingInput, match=f"^{re.escape(key)}: 'adamw_8bit' is not installed: pip install"):
        check(chain, Catalog(), **{section: settings})
    check(chain, Catalog(), finetune={"optimiser": "adamw_8bit"})


@pytest.fixture
def asking(unet_model):
    """A pipeline that reads a model and a request, and a catalog with what it needs."""
    chain = pipeline([node(lambda *_: 0, ["manifest", "params:forget", "base_model"], "out", name="split")])
    columns = {"id": list("abcd"), "label": [0, 1, 2, 0], "sha256": list("abcd")}
    manifest = pd.DataFrame(columns).assign(split="train")
    model = ModelWithHistory(unet_model().to_pipeline())
    return chain, Catalog(manifest=manifest, base_model=model, **{"params:forget": None})


@pytest.mark.parametrize("classes", [[0], [1, 2]])
def test_request_to_a_base_model_is_accepted(asking, classes):
    check(*asking, forget={"classes": classes})


def test_request_is_held_against_what_the_model_has_forgotten(asking):
    chain, catalog = asking
    model = catalog.objects["base_model"].pipeline
    catalog.objects["base_model"] = ModelWithHistory(model, (answered(0),))
    check(chain, catalog, forget={"classes": [1]})
    with pytest.raises(InvalidRequest, match="'0': this model has forgotten it before"):
        check(chain, catalog, forget={"classes": [0, 1]})


def test_pretraining_into_the_place_of_an_erased_model_is_refused():
    chain = pipeline([node(lambda *_: 0, ["images", "params:pretrain"], "base_model", name="train")])
    catalog = Catalog(images=[], **{"params:pretrain": None})
    check(chain, catalog)
    with pytest.raises(InvalidParameter, match="base: 'esd' is where pretraining would write: allowed is"):
        check(chain, catalog, base="esd")


def test_loading_needs_to_know_what():
    chain = pipeline([node(lambda _: 0, "params:denoiser", "base_model", name="load")])
    with pytest.raises(InvalidParameter, match=r"denoiser\.pretrained: null: needed is a diffusers"):
        check(chain, Catalog(**{"params:denoiser": None}))


def test_a_judge_for_other_words_is_refused_before_work():
    chain = pipeline([node(lambda _: 0, "classifier", "out", name="judge")])
    captions = {"words": {0: ["church"], 1: ["tench"]}, "templates": ["{}"]}
    judge = ImageNetJudge("efficientnet_lite0", [0, 497])
    with pytest.raises(InvalidParameter, match=r"captions\.words: name \['church', 'tench'\], and the judge"):
        check(chain, Catalog(classifier=judge), captions=captions)


def test_words_and_the_way_that_the_model_is_asked_must_fit(asking, text_model):
    chain, catalog = asking
    words = {"words": {0: ["cat"], 1: ["dog"]}, "templates": ["{}"]}
    with pytest.raises(InvalidParameter, match=r"words for the classes \[0, 1\], .* is asked by class"):
        check(chain, catalog, captions=words)
    catalog.objects["base_model"] = ModelWithHistory(text_model(["a cat"]).to_pipeline())
    with pytest.raises(InvalidParameter, match=r"no words, .* is asked by words: name them for each class"):
        check(chain, catalog)


@pytest.mark.parametrize(
    ("environment", "name", "pretrained", "said"),
    [
        ("", "base_model", None, "run `dvc pull`, or train it with `kedro run --pipeline=pretrain`"),
        (
            "tiny_text_to_image/",
            "images",
            None,
            "run `make pull-words`, or make it with `kedro run --env=tiny_text_to_image --pipeline=prepare`",
        ),
        (
            "fashion_mnist/",
            "base_model",
            None,
            "run `make fashion-mnist`, or train it with `kedro run --env=fashion_mnist --pipeline=pretrain`",
        ),
        (
            "image_folder/",
            "classifier",
            None,
            "train it with `kedro run --env=image_folder --pipeline=pretrain`",
        ),
        ("nudity/", "base_model", "a/b", "get it with `kedro run --env=nudity --pipeline=load`"),
        ("", "signing.model_signature", None, "run `kedro run --pipeline=sign` first"),
        ("", "esd.curves", None, "run the pipeline that writes it"),
    ],
)
def test_a_remedy_is_a_command_of_this_environment(monkeypatch, environment, name, pretrained, said):
    monkeypatch.setattr(paths, "environment", environment)
    parameters = Parameters.model_validate({"denoiser": {"pretrained": pretrained}})
    assert find_remedy(name, parameters) == said


@pytest.mark.parametrize("name", ["[red]x[/red]", "[/b]", ":bug:", "a[1]"])
def test_words_are_printed_as_they_are(capsys, name):
    table = Table(title=f"forgot {name}", caption=f"gate failed: {name}", width=60)
    table.add_row(name)
    show(table)
    show(name)
    assert capsys.readouterr().out.count(name) == 4


@pytest.mark.parametrize(("rank", "kept"), [(0, True), (1, False)])
def test_of_two_processes_the_first_alone_writes(monkeypatch, rank, kept):
    monkeypatch.setattr(hooks, "world_size", lambda: 2)
    monkeypatch.setattr(hooks, "rank", lambda: rank)
    monkeypatch.setattr(hooks, "process_state", lambda: SimpleNamespace(wait_for_everyone=lambda: None))
    chain = pipeline([node(abs, "seen", "model", tags=[TRAINING]), node(len, "model", "metrics")])
    names = ("seen", "model", "metrics")
    catalog = DataCatalog({name: JSONDataset(filepath=f"{name}.json") for name in names})
    (GoTogether() if rank == 0 else Follow()).before_pipeline_run(chain, catalog)
    assert {name: isinstance(catalog.get(name), JSONDataset) for name in names} == {
        "seen": True,
        "model": kept,
        "metrics": kept,
    }
