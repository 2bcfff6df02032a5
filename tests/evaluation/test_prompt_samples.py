from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from erasediff_pipeline.config import (
    CaptionSettings,
    EvaluationSettings,
    PromptListSettings,
    ReportSettings,
    SamplingSettings,
)
from erasediff_pipeline.data.image_store import ImageStore
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.evaluation import prompt_samples
from erasediff_pipeline.evaluation.features import FeatureExtractor
from erasediff_pipeline.evaluation.fidelity import fidelity
from erasediff_pipeline.evaluation.prompt_metrics import collect_prompt_metrics
from erasediff_pipeline.evaluation.prompt_samples import draw_prompts, measure_fidelity
from erasediff_pipeline.reporting.figures import draw_prompt_pairs
from tests.helpers.requests import answered

SETTINGS = PromptListSettings(file="list.csv")
SAMPLING = SamplingSettings(sampler="ddim", steps=3, batch_size=2)
SENTENCES = ["a cat", "a dog", "a cat", "the dog", "a cat"]
ROWS = pd.DataFrame({"case_number": range(4, 9), "prompt": SENTENCES, "seed": range(11, 16)}).assign(
    guidance_scale=[2.0, 0.0, 2.0, 2.0, 1.0], **{"class": [words.split()[1] for words in SENTENCES]}
)


@pytest.fixture(scope="module")
def pipeline(text_model):
    model = text_model(["a cat", "a dog"])
    scheduler = DDIMScheduler.from_config(model.process.scheduler.config)
    return StableDiffusionPipeline(**{**model.to_pipeline().components, "scheduler": scheduler})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ImageStore(tmp_path_factory.mktemp("images"))


def draw(pipeline, store, rows=ROWS, sampling=SAMPLING, settings=SETTINGS):
    return draw_prompts(pipeline, rows, store, sampling, settings, "draw base")


@pytest.fixture(scope="module")
def places(pipeline, store):
    """Of the images of all rows, which are in the store."""
    return draw(pipeline, store)


def test_an_image_is_what_diffusers_draws_for_the_seed(pipeline, store, places):
    folder = places[0].split("/")[0]
    assert places == [f"{folder}/{case:06d}.png" for case in (4, 5, 6, 7, 8)]
    for row, place in zip(ROWS.itertuples(), places, strict=True):
        theirs = pipeline(
            row.prompt,
            height=16,
            width=16,
            num_inference_steps=3,
            guidance_scale=1 + row.guidance_scale,
            generator=torch.Generator().manual_seed(row.seed),
            output_type="np",
        ).images[0]
        difference = torch.from_numpy(store.load(place)).permute(1, 2, 0) / 255 - torch.from_numpy(theirs)
        assert difference.abs().max() < 0.01


def watch(monkeypatch, before):
    """Call ``before`` with the numbers of the cases of each batch that is drawn."""
    draw_rows = prompt_samples.draw_rows

    def watched(pipeline, rows, *settings):
        before(rows["case_number"])
        return draw_rows(pipeline, rows, *settings)

    monkeypatch.setattr(prompt_samples, "draw_rows", watched)


def test_what_is_there_is_not_drawn_again(pipeline, tmp_path, monkeypatch):
    store, drawn = ImageStore(tmp_path), []
    draw(pipeline, store, ROWS.head(3))
    watch(monkeypatch, drawn.extend)
    draw(pipeline, store)
    assert drawn == [7, 8]
    drawn.clear()
    draw(pipeline, store)
    assert drawn == []
    draw(pipeline, store, sampling=SAMPLING.model_copy(update={"steps": 2}))
    assert sorted(drawn) == [4, 5, 6, 7, 8]


def test_a_killed_run_ends_with_the_same_images(pipeline, store, places, tmp_path, monkeypatch):
    cut = ImageStore(tmp_path)
    watch(monkeypatch, Mock(side_effect=[None, KeyboardInterrupt]))
    with pytest.raises(KeyboardInterrupt):
        draw(pipeline, cut)
    monkeypatch.undo()
    assert 0 < len(list(tmp_path.rglob("*.png"))) < 5
    assert draw(pipeline, cut) == places
    assert all((cut.load(place) == store.load(place)).all() for place in places)


def test_other_weights_are_images_beside_these(store, places, text_model):
    before = [store.load(place) for place in places]
    theirs = draw(text_model(["a cat", "a dog"], seed=1).to_pipeline(), store)
    assert not set(places) & set(theirs)
    assert all((store.load(place) == image).all() for place, image in zip(places, before, strict=True))
    assert (store.load(theirs[0]) != before[0]).any()


def test_another_class_is_no_other_image(pipeline, store, places, monkeypatch):
    monkeypatch.setattr(prompt_samples, "draw_rows", None)
    assert draw(pipeline, store, ROWS.assign(**{"class": "bird"})) == places


def test_a_long_prompt_is_cut_on_request(pipeline, store):
    rows = ROWS.head(1).assign(prompt=" ".join(["a cat"] * 30))
    settings = PromptListSettings(file="list.csv", truncate=True)
    (place,) = draw(pipeline, store, rows, settings=settings)
    assert store.load(place).shape == (3, 16, 16)


def quick_extractor(backend, judge=None):
    """Mean colours in place of what a network sees."""
    return FeatureExtractor(f"quick {backend}", "", lambda images: images.double().mean(dim=(2, 3)))


def test_fidelity_is_against_the_base_model_or_a_folder(pipeline, store, judge, monkeypatch):
    """Of ten drawn images against ten of noise, in a folder of their own."""
    monkeypatch.setattr(prompt_samples, "build_extractor", quick_extractor)
    rows = pd.concat([ROWS] * 2).assign(case_number=range(10, 20), seed=range(10)).reset_index(drop=True)
    drawn, noise = draw(pipeline, store, rows), [f"noise/{row}.png" for row in range(10)]
    for place, image in zip(noise, np.random.default_rng(0).integers(256, size=(10, 3, 16, 16)), strict=True):
        store.save(place, image.astype(np.uint8), "")
    evaluation, folder = EvaluationSettings(fid_backend="efficientnet_lite0"), str(store.folder / "noise")
    images = [torch.from_numpy(np.stack([store.load(p) for p in places])) for places in (drawn, noise)]
    expected = fidelity(*map(quick_extractor("efficientnet_lite0"), images), 3)["fid"]
    assert expected > 1
    for base, real in ((noise, None), (drawn, folder)):
        settings = PromptListSettings(file="list.csv", measures=["fid"], real=real)
        found = measure_fidelity(store, drawn, base, judge, settings, evaluation)
        assert found["fid"] == pytest.approx(expected)
        assert found["fid_against"] == (real or "the base model")
        assert (found["real_images"], found["fid_backend"]) == (10, "quick efficientnet_lite0")


@pytest.mark.parametrize(("drawn", "measure"), [("b", "objects"), ("a", "fid")])
def test_fidelity_is_not_measured(store, judge, drawn, measure):
    """Where nobody asks for it, and of the base model itself."""
    settings = PromptListSettings(file="list.csv", measures=[measure])
    assert measure_fidelity(store, [drawn], ["a"], judge, settings, EvaluationSettings()) == {}


def test_the_metrics_name_what_was_forgotten(pipeline, text_model, judge):
    captions = CaptionSettings(words={0: ["cat", "kitten"], 1: ["dog"]}, templates=["a {}"])
    forgotten = answered(0, by="prompts", prompts=["cat"])
    erased = ModelWithHistory(text_model(["a cat"], seed=1).to_pipeline(), (forgotten,))
    models = {"base": ModelWithHistory(pipeline), "erased": erased}
    seen = {"base": ROWS.assign(right=True), "erased": ROWS.assign(right=ROWS["class"] == "dog")}
    fidelity_of = {"base": {}, "erased": {"fid": 1.0}}
    metrics = collect_prompt_metrics(models, ROWS, seen, fidelity_of, judge, SETTINGS, captions)
    assert metrics["forgotten"] == ["cat", "kitten"]
    assert (metrics["base"]["unlearning_accuracy"], metrics["erased"]["unlearning_accuracy"]) == (0.0, 1.0)
    assert (metrics["erased"]["retain_accuracy"], metrics["erased"]["fid"]) == (1.0, 1.0)
    assert metrics["models"]["base"] != metrics["models"]["erased"]
    assert metrics["judge"]["name"] == "Classifier"


def show(store, rows, places, forgotten=(), **settings):
    report = ReportSettings(grid_columns=2, **settings)
    return draw_prompt_pairs(store, list(zip(places, places, strict=True)), rows["class"], forgotten, report)


def test_what_is_forgotten_is_hidden_in_the_grid(store, places):
    before, after = show(store, ROWS, places, ["cat"], hide_forgotten=True).axes
    assert [text.get_text() for text in before.get_yticklabels()] == ["dog"]
    assert before.images[0].get_array().shape[0] == after.images[0].get_array().shape[0] == 17
    shouted = ROWS.assign(**{"class": ROWS["class"].str.upper()})
    before, _ = show(store, shouted, places, ["cat"], hide_forgotten=True).axes
    assert [text.get_text() for text in before.get_yticklabels()] == ["DOG"]
    assert [t.get_text() for t in show(store, shouted, places, ["cat"]).texts] == ["framed: forgotten (CAT)"]
    figure = show(store, ROWS.assign(**{"class": ""}), places, ["cat"], hide_forgotten=True)
    assert not figure.axes
    assert "report.hide_forgotten" in figure.texts[0].get_text()


def test_the_grid_has_a_row_a_class(store, places):
    before, after = show(store, ROWS, places).axes
    assert [text.get_text() for text in before.get_yticklabels()] == ["cat", "dog"]
    assert before.images[0].get_array().shape == (2 * 17, 2 * 17, 3)
    assert (before.images[0].get_array() == after.images[0].get_array()).all()
