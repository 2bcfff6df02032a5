"""The environment ``tiny_text_to_image``, as a user runs it."""

import json

import mlflow
import pandas as pd
import pytest
import torch
import yaml
from diffusers import StableDiffusionPipeline

from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.io import load_model
from erasediff_pipeline.diffusion.pipelines import model_of
from erasediff_pipeline.diffusion.sampling import stream_samples
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier, class_probabilities
from tests.helpers.project import QUICK, assert_one_line, copy_clone, hash_tree, kept

ENVIRONMENT = "--env=tiny_text_to_image"
UNLEARN = (ENVIRONMENT, "--pipeline=unlearn")
COMMIT = "abc0123" + 33 * "0"


@pytest.fixture(scope="module")
def erased(project, quick_run, tmp_path_factory):
    """The word "three", in a whole but small run; read only."""
    target = copy_clone(project, tmp_path_factory.mktemp("text") / "project")
    run = quick_run(target, *UNLEARN, f"--params={QUICK}")
    assert run.code == 0, run.output
    return target, run


@pytest.fixture
def own(erased, tmp_path):
    return copy_clone(erased[0], tmp_path / "project")


def place(project, layer):
    return project / "data" / layer / "tiny_text_to_image/erasediff"


def test_the_reference_model_draws_what_it_is_asked_for(project):
    """Words and their synonyms, each in another sentence."""
    models = project / "data/06_models/tiny_text_to_image"
    pipeline = load_model(models / "base").pipeline
    judge = Classifier.from_pretrained(models / "classifier", local_files_only=True)
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    prompts = [f"the number {word}" for word in words] + [f"a handwritten {digit}" for digit in range(10)]
    numbers = torch.arange(20).repeat(6)
    samples = list(stream_samples(model_of(pipeline, prompts), numbers, 0, SamplingSettings()))
    shown = class_probabilities(judge, torch.cat(samples)).argmax(dim=1)
    assert (shown == numbers % 10).double().mean() > 0.97


def test_what_is_measured(erased):
    metrics = json.loads((place(erased[0], "08_reporting") / "metrics.json").read_text())
    request = metrics["forget"]
    assert (request["by"], request["prompts"], request["classes"]) == ("prompts", ["three"], [3])
    assert request["templates"] == ["a photo of the digit {}", "a handwritten {}"]
    apart = {"forget_accuracy_erased_prompts", "forget_accuracy_synonyms"}
    assert set(metrics["base"]) == set(metrics["erased"]) > apart
    for key in ("forget_accuracy", *apart, "retain_accuracy"):
        assert 0 <= metrics["erased"][key] <= 1
    assert (metrics["base"]["forget_samples"], metrics["base"]["retain_samples"]) == (8, 9 * 8)


def test_table_and_report_name_the_word_and_each_kind_of_prompt(erased):
    project, run = erased
    page = (place(project, "08_reporting") / "report.html").read_text()
    for words in ("three", "prompts erased", "synonyms"):
        assert words in run.output
        assert words in page


def test_each_prompt_and_its_part_are_written_down(erased):
    conditions = pd.read_csv(place(erased[0], "05_model_input") / "conditions.csv", keep_default_na=False)
    assert conditions["prompt"].is_unique
    of_three = conditions[conditions["label"] == 3].groupby("role")["prompt"].count()
    assert of_three.to_dict() == {"erase": 2, "forget": 4, "synonym": 6}
    assert (conditions["role"] == "retain").sum() == 9 * 12


def test_the_model_is_a_stable_diffusion(erased):
    """The weights have moved in the U-Net alone, and the pipeline draws from a text."""
    models = [
        StableDiffusionPipeline.from_pretrained(
            path, use_safetensors=True, local_files_only=True, torch_dtype=torch.float32
        )
        for path in (erased[0] / "data/06_models/tiny_text_to_image/base", place(erased[0], "06_models"))
    ]
    for part, moved in (("unet", True), ("vae", False), ("text_encoder", False)):
        pairs = zip(*(getattr(model, part).parameters() for model in models), strict=True)
        assert any(not torch.equal(one, two) for one, two in pairs) == moved, part
    image = models[1](
        "the number seven",
        height=16,
        width=16,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(0),
    ).images[0]
    assert image.size == (16, 16)


def test_the_registered_model_draws_from_a_text(erased):
    project = erased[0]
    earlier = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    try:
        model = mlflow.pyfunc.load_model("models:/erasediff-text-erasediff/latest")
    finally:
        mlflow.set_tracking_uri(earlier)
    asked = pd.DataFrame({"prompt": ["the number 7", "a handwritten 1"], "seed": [0, 0], "count": [1, 2]})
    images = model.predict(asked)["images"]
    assert images.shape == (3, 3, 16, 16)
    assert (model.predict(asked)["images"] == images).all()


def test_base_model_and_data_are_as_they_were(project, erased):
    for path in (
        "data/06_models/tiny_text_to_image/base",
        "data/03_primary/tiny_text_to_image",
        "data/06_models/base",
    ):
        assert hash_tree(erased[0] / path) == hash_tree(project / path)


@pytest.mark.parametrize("pipeline", ["uce", "esd", "salun"])
def test_other_methods_take_the_same_request(own, quick_run, pipeline):
    small = f"{QUICK},esd.steps=2,esd.batch_size=8,salun.steps=2,salun.batch_size=8,salun.mask_batches=1"
    run = quick_run(own, ENVIRONMENT, f"--pipeline={pipeline}", f"--params={small}")
    assert run.code == 0, run.output
    metrics = own / f"data/08_reporting/tiny_text_to_image/{pipeline}/metrics.json"
    assert json.loads(metrics.read_text())["method"] == pipeline


def test_the_base_model_may_draw_the_training_images(own, quick_run):
    run = quick_run(
        own, ENVIRONMENT, "--pipeline=generate", "--params=generate.images_per_class=12,sampling.steps=2"
    )
    assert run.code == 0, run.output
    manifest = pd.read_parquet(own / "data/03_primary/tiny_text_to_image/manifest.parquet")
    assert manifest["label"].value_counts().to_dict() == dict.fromkeys(range(10), 12)
    assert manifest["prompt"].nunique() == 120
    run = quick_run(own, *UNLEARN, f"--params={QUICK}")
    assert run.code == 0, run.output


@pytest.mark.parametrize(
    ("pipeline", "params", "said"),
    [
        ("unlearn", "forget.prompts=drei", ("forget.prompts: 'drei'", "allowed are zero, 0, one")),
        (
            "unlearn",
            "forget.templates=three",
            ("forget: ", "template 'three': allowed is a sentence with one {}"),
        ),
        ("unlearn", "unlearn.subset=xlayer", ("'xlayer' selects no parameter",)),
        (
            "unlearn",
            "unlearn.subset=class_embedding",
            ("'class_embedding' is unknown: choose one of full, xattn",),
        ),
        ("pretrain", "denoiser.pretrained=someone/some-model", ("someone/some-model", "denoiser.revision")),
        (
            "pretrain",
            f"denoiser.pretrained=someone/some-model,denoiser.revision={COMMIT}",
            ("someone/some-model", "the hub does not give revision 'abc0123"),
        ),
        ("pretrain", "denoiser.pretrained=conf", ("'conf' has no model_index.json",)),
    ],
)
def test_a_bad_input_is_one_line_and_nothing_is_lost(own, quick_run, pipeline, params, said):
    before = kept(own)
    run = quick_run(own, ENVIRONMENT, f"--pipeline={pipeline}", f"--params={params}", HF_HUB_OFFLINE="1")
    assert_one_line(run, *said)
    assert kept(own) == before


def test_prompts_are_for_text_to_image_models(own, quick_run):
    run = quick_run(own, "--pipeline=unlearn", "--params=forget.prompts=three")
    assert_one_line(run, "forget.prompts: there are no captions.words", "allowed are classes and ids_file")
    run = quick_run(own, "--pipeline=uce")
    assert_one_line(run, "uce edits the attention to a text, but this model is class-conditional")


def test_words_are_needed_where_the_model_is_asked_by_words(own, quick_run):
    file = own / "conf/tiny_text_to_image/parameters.yml"
    settings = yaml.safe_load(file.read_text())
    del settings["captions"]
    file.write_text(yaml.safe_dump({**settings, "forget": {"classes": [3]}}))
    before = kept(own)
    run = quick_run(own, *UNLEARN, f"--params={QUICK}")
    assert_one_line(run, "captions.words: no words", "is asked by words: name them for each class")
    assert kept(own) == before
