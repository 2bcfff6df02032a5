"""What is refused before a run begins; each check has its own tests beside what it checks."""

import copy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro_datasets.json import JSONDataset

from erasediff_pipeline.data.split import hash_train_set
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.errors import InvalidParameter, InvalidRequest, MissingInput
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier
from erasediff_pipeline.evaluation.classifiers.pretrained import ImageNetClassifier
from erasediff_pipeline.hooks import CheckInputs
from erasediff_pipeline.parameters import Parameters
from tests.helpers.requests import answered

WORDS = {"words": {0: ["church"], 1: ["tench"]}, "templates": ["{}"]}


def check(inputs, outputs="out", catalog=None, **parameters):
    """Check a pipeline of one node before it runs."""
    hook = CheckInputs()
    hook.parameters, hook.environment = Parameters.model_validate(parameters), ""
    datasets = {
        name: data if isinstance(data, JSONDataset) else MemoryDataset(data, copy_mode="assign")
        for name, data in (catalog or {}).items()
    }
    hook.before_pipeline_run(pipeline([node(lambda *_: 0, inputs, outputs, name="x")]), DataCatalog(datasets))


@pytest.fixture
def asking(unet_model):
    """A node that reads a model and a request, and a catalog with what it needs."""
    columns = {"id": list("abcd"), "label": [0, 1, 2, 0], "sha256": list("abcd")}
    manifest = pd.DataFrame(columns).assign(split="train")
    catalog = {"manifest": manifest, "base_model": ModelWithHistory(unet_model().to_pipeline())}
    return {"inputs": ["manifest", "params:forget", "base_model"], "catalog": catalog}


def test_parameters_are_validated():
    context = SimpleNamespace(config_loader={"parameters": {"seed": -1}})
    with pytest.raises(InvalidParameter, match=r"^seed: -1"):
        CheckInputs().after_context_created(context)


def test_a_request_is_checked_against_what_the_model_has_forgotten(asking):
    for classes in ([0], [1, 2]):
        check(**asking, forget={"classes": classes})
    model = asking["catalog"]["base_model"].pipeline
    asking["catalog"]["base_model"] = ModelWithHistory(model, (answered(0),))
    check(**asking, forget={"classes": [1]})
    with pytest.raises(InvalidRequest, match="'0': this model has forgotten it before"):
        check(**asking, forget={"classes": [0, 1]})


def test_a_base_model_of_another_train_split_is_doubted(asking, tmp_path, caplog):
    """Its unseen images may have been training images; of single images, it may never have seen one."""
    model, manifest = asking["catalog"]["base_model"].pipeline, asking["catalog"]["manifest"]
    asking["catalog"]["base_model"] = ModelWithHistory(model, trained_on=hash_train_set(manifest))
    (tmp_path / "ids.csv").write_text("id\nc\n")
    by_ids = {"ids_file": str(tmp_path / "ids.csv"), "classes": None}
    for forget in ({"classes": [1]}, by_ids):
        check(**asking, forget=forget)
    assert not caplog.messages
    manifest.loc[0, "split"] = "test"
    check(**asking, forget={"classes": [1]})
    assert caplog.messages[0].startswith("base_model: base_model was trained on other images than those of")
    with pytest.raises(MissingInput, match=r"^base_model: base_model was trained on .*: restore the data"):
        check(**asking, forget=by_ids)


def test_words_and_model_must_fit(asking):
    with pytest.raises(InvalidParameter, match=r"^captions\.words: "):
        check(**asking, captions=WORDS)


def test_a_model_of_zeros_is_refused_wherever_it_is_read(unet_model):
    model = copy.deepcopy(unet_model())
    for weight in model.parameters():
        weight.data.fill_(0)
    zeros = ModelWithHistory(model.to_pipeline())
    for name in ("base_model", "prompts.erased_model"):
        with pytest.raises(MissingInput, match=f"^{name}: {name}: predicts the same number everywhere"):
            check(name, catalog={name: zeros})


@pytest.mark.parametrize(
    ("classes", "weight", "said"),
    [
        (3, float("nan"), "^classifier: body.0.weight is not finite: restore the weights, or make it again"),
        (3, 0.0, r"^classifier: classifier: accuracy 0\.\d+ on 60 unseen images is below"),
        (2, 1.0, r"^classifier: classifier is for \(1, 8, 8\) \(C, H, W\) of 2 classes, the images .* of 3"),
    ],
)
def test_a_judge_that_does_not_know_the_images_is_refused(toy_images, classes, weight, said):
    judge = Classifier(classes=classes)
    judge.body[0].weight.data.fill_(weight)
    split = pd.DataFrame({"label": toy_images.labels, "split": np.repeat(["train", "test"], 60)})
    catalog = {"classifier": judge, "images": toy_images, "manifest": split}
    for inputs in ([*catalog], "classifier"):  # `prompts` reads the judge alone
        with pytest.raises(MissingInput, match=said):
            check(inputs, catalog=catalog)


def test_the_first_missing_input_is_the_model(tmp_path):
    missing = {name: JSONDataset(filepath=str(tmp_path / name)) for name in ("images", "base_model")}
    with pytest.raises(
        MissingInput, match=r"^base_model: .*base_model is missing: run `dvc pull .*`, or train"
    ):
        check(["images", "base_model"], catalog=missing)


def test_a_training_that_cannot_run_here_is_refused(monkeypatch):
    """Where the pipeline reads its settings; those of another method may be wrong."""
    monkeypatch.setattr("erasediff_pipeline.training.checks.world_size", lambda: 3)
    settings = {"unlearn": {"batch_size": 4}, "esd": {"batch_size": 3}}
    check("params:esd", **settings)
    with pytest.raises(InvalidParameter, match=r"^unlearn\.batch_size"):
        check("params:unlearn", **settings)


@pytest.mark.parametrize(
    ("inputs", "parameters", "said"),
    [
        ("params:pretrain", {"base": "esd"}, "base: 'esd': pretraining would overwrite this model: use"),
        ("params:denoiser", {}, r"denoiser\.pretrained: null: expected a diffusers"),
        ("params:denoiser", {"denoiser": {"pretrained": "nowhere"}}, r"denoiser\.pretrained: 'nowhere' is"),
    ],
)
def test_a_base_model_that_cannot_be_made_is_refused(inputs, parameters, said):
    check("params:pretrain", "base_model")
    with pytest.raises((InvalidParameter, MissingInput), match=said):
        check(inputs, "base_model", **parameters)


def test_a_classifier_of_other_words_is_refused():
    judge = ImageNetClassifier("efficientnet_lite0", [0, 497])
    said = r"captions\.words: name \['church', 'tench'\], but the classifier"
    with pytest.raises(InvalidParameter, match=said):
        check("classifier", catalog={"classifier": judge}, captions=WORDS)
