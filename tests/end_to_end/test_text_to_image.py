"""The environment ``tiny_text_to_image``."""

import mlflow
import pandas as pd
import pytest
import torch
import yaml
from diffusers import StableDiffusionPipeline

from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.io import load_model
from erasediff_pipeline.diffusion.models.stable_diffusion import StableDiffusion
from erasediff_pipeline.diffusion.sampling import stream_samples
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier, class_probabilities
from tests.helpers.project import QUICK, copy_clone, hash_tree, read_json
from tests.helpers.servers import pointed_to

ENVIRONMENT = "--env=tiny_text_to_image"
COMMIT = "abc0123" + 33 * "0"


@pytest.fixture
def own(three, tmp_path):
    return copy_clone(three.project, tmp_path / "project")


def place(project, layer, name="erasediff"):
    return project / "data" / layer / "tiny_text_to_image" / name


def test_the_reference_model_draws_what_it_is_asked_for(project):
    """Words and their synonyms, each in another sentence."""
    pipeline = load_model(place(project, "06_models", "base")).pipeline
    judge = Classifier.from_pretrained(place(project, "06_models", "classifier"), local_files_only=True)
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    prompts = [f"the number {word}" for word in words] + [f"a handwritten {digit}" for digit in range(10)]
    numbers, model = torch.arange(20).repeat(6), StableDiffusion(pipeline, prompts)
    samples = torch.cat(list(stream_samples(model, numbers, 0, SamplingSettings(guidance_scale=2.0))))
    shown = class_probabilities(judge, samples).argmax(dim=1)
    assert (shown == numbers % 10).double().mean() > 0.97


def test_what_is_measured(three):
    metrics = read_json(place(three.project, "08_reporting") / "metrics.json")
    request = metrics["forget"]
    assert (request["by"], request["prompts"], request["classes"]) == ("prompts", ["three"], [3])
    assert request["templates"] == ["a photo of the digit {}", "a handwritten {}"]
    apart = {"forget_accuracy_erased_prompts", "forget_accuracy_synonyms"}
    assert set(metrics["base"]) == set(metrics["erased"]) > apart
    for key in ("forget_accuracy", *apart, "retain_accuracy"):
        assert 0 <= metrics["erased"][key] <= 1
    assert (metrics["base"]["forget_samples"], metrics["base"]["retain_samples"]) == (8, 9 * 8)


def test_table_and_report_name_the_word_and_each_kind_of_prompt(three):
    project, run = three
    page = (place(project, "08_reporting") / "report.html").read_text()
    for words in ("three", "erased prompts", "synonyms"):
        assert words in run.output
        assert words in page


def test_each_prompt_and_its_part_are_written_down(three):
    conditions = pd.read_csv(place(three.project, "05_model_input") / "conditions.csv", keep_default_na=False)
    assert conditions["prompt"].is_unique
    of_three = conditions[conditions["label"] == 3].groupby("role")["prompt"].count()
    assert of_three.to_dict() == {"erase": 2, "forget": 4, "synonym": 6}
    assert (conditions["role"] == "retain").sum() == 9 * 12


def test_the_model_is_a_stable_diffusion(three):
    """The weights have moved in the U-Net alone, and the pipeline draws from a text."""
    places = [place(three.project, "06_models", name) for name in ("base", "erasediff")]
    only = {"use_safetensors": True, "local_files_only": True}
    models = [StableDiffusionPipeline.from_pretrained(folder, **only) for folder in places]
    for part, moved in (("unet", True), ("vae", False), ("text_encoder", False)):
        pairs = zip(*(getattr(model, part).parameters() for model in models), strict=True)
        assert any(not torch.equal(one, two) for one, two in pairs) == moved, part
    image = models[1]("the number seven", height=16, width=16, num_inference_steps=2).images[0]
    assert image.size == (16, 16)


def test_the_registered_model_draws_from_a_text(three):
    with pointed_to(f"sqlite:///{three.project / 'mlflow.db'}"):
        model = mlflow.pyfunc.load_model("models:/erasediff-text-erasediff/latest")
    asked = pd.DataFrame({"prompt": ["the number 7", "a handwritten 1"], "seed": [0, 0], "count": [1, 2]})
    images = model.predict(asked)["images"]
    assert images.shape == (3, 3, 16, 16)
    assert (model.predict(asked)["images"] == images).all()


def test_base_model_and_data_are_as_they_were(project, three):
    for path in ("06_models/tiny_text_to_image/base", "03_primary/tiny_text_to_image", "06_models/base"):
        assert hash_tree(three.project / "data" / path) == hash_tree(project / "data" / path)


@pytest.mark.parametrize("pipeline", ["uce", "esd", "salun"])
def test_other_methods_take_the_same_request(own, quick_run, pipeline):
    small = f"{QUICK},esd.steps=2,esd.batch_size=8,salun.steps=2,salun.batch_size=8,salun.mask_batches=1"
    quick_run(own, ENVIRONMENT, f"--pipeline={pipeline}", f"--params={small}")
    assert read_json(place(own, "08_reporting", pipeline) / "metrics.json")["method"] == pipeline


def test_the_base_model_may_draw_the_training_images(own, quick_run):
    small = "--params=generate.images_per_class=12,sampling.steps=2"
    quick_run(own, ENVIRONMENT, "--pipeline=generate", small)
    manifest = pd.read_parquet(place(own, "03_primary", "manifest.parquet"))
    assert manifest["label"].value_counts().to_dict() == dict.fromkeys(range(10), 12)
    assert manifest["prompt"].nunique() == 120
    quick_run(own, ENVIRONMENT, "--pipeline=unlearn", f"--params={QUICK}")


HUB = f"denoiser.pretrained=someone/some-model,denoiser.revision={COMMIT}"


@pytest.mark.parametrize(
    ("environment", "pipeline", "params", "said"),
    [
        (ENVIRONMENT, "unlearn", "forget.prompts=drei", ["forget.prompts: 'drei'", "zero, 0, one"]),
        (ENVIRONMENT, "unlearn", "forget.templates=three", ["forget: ", "template 'three'", "{}"]),
        (ENVIRONMENT, "unlearn", "unlearn.subset=xlayer", ["'xlayer' selects no parameter"]),
        (ENVIRONMENT, "unlearn", "unlearn.subset=class_embedding", ["'class_embedding'", "full, xattn"]),
        (ENVIRONMENT, "pretrain", HUB.split(",")[0], ["someone/some-model", "denoiser.revision"]),
        (ENVIRONMENT, "pretrain", HUB, ["someone/some-model", "revision 'abc0123"]),
        (ENVIRONMENT, "pretrain", "denoiser.pretrained=conf", ["'conf' has no model_index.json"]),
        ("--env=base", "unlearn", "forget.prompts=three", ["forget.prompts", "captions.words", "ids_file"]),
        ("--env=base", "uce", "seed=0", ["uce ", "cross-attention"]),
    ],
)
def test_a_bad_input_is_one_line_and_nothing_is_lost(three, quick_run, environment, pipeline, params, said):
    quick_run.refuses(three.project, environment, f"--pipeline={pipeline}", f"--params={params}", said=said)


def test_words_are_needed_where_the_model_is_asked_by_words(own, quick_run):
    file = own / "conf/tiny_text_to_image/parameters.yml"
    settings = yaml.safe_load(file.read_text()) | {"forget": {"classes": [3]}}
    del settings["captions"]
    file.write_text(yaml.safe_dump(settings))
    quick_run.refuses(own, ENVIRONMENT, "--pipeline=unlearn", said=["captions.words: "])
