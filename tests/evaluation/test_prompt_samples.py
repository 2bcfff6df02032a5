import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDIMScheduler

from erasediff_pipeline.config import (
    CaptionSettings,
    EvaluationSettings,
    PromptListSettings,
    ReportSettings,
    SamplingSettings,
)
from erasediff_pipeline.data.image_store import ImageStore
from erasediff_pipeline.data.request import AnsweredRequest
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.evaluation import prompt_samples
from erasediff_pipeline.evaluation.features import efficientnet_features
from erasediff_pipeline.evaluation.fidelity import fidelity
from erasediff_pipeline.evaluation.prompt_metrics import collect_prompt_metrics
from erasediff_pipeline.evaluation.prompt_samples import draw_prompts, measure_fidelity
from erasediff_pipeline.reporting.figures import draw_prompt_pairs

SETTINGS = PromptListSettings(file="list.csv")
SAMPLING = SamplingSettings(sampler="ddim", steps=3, batch_size=2)
ROWS = pd.DataFrame(
    {
        "case_number": [4, 5, 6, 7, 8],
        "prompt": ["a cat", "a dog", "a cat", "the dog", "a cat"],
        "seed": [11, 12, 13, 14, 15],
        "guidance_scale": [2.0, 0.0, 2.0, 2.0, 1.0],
        "class": ["cat", "dog", "cat", "dog", "cat"],
    }
)


@pytest.fixture(scope="module")
def pipeline(text_model):
    model = text_model(["a cat", "a dog"])
    model.own_scheduler = DDIMScheduler.from_config(model.scheduler.config)
    return model.to_pipeline()


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path)


def draw(pipeline, store, rows=ROWS, sampling=SAMPLING, settings=SETTINGS):
    return draw_prompts(pipeline, rows, store, sampling, settings, "draw base")


def test_an_image_is_what_diffusers_draws_for_the_seed(pipeline, store):
    places = draw(pipeline, store)
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


def test_what_is_there_is_not_drawn_again(pipeline, store, monkeypatch):
    draw(pipeline, store, ROWS.head(3))
    drawn = []
    draw_rows = prompt_samples.draw_rows

    def note(pipeline, rows, *settings):
        drawn.extend(rows["case_number"])
        return draw_rows(pipeline, rows, *settings)

    monkeypatch.setattr(prompt_samples, "draw_rows", note)
    draw(pipeline, store)
    assert drawn == [7, 8]
    drawn.clear()
    draw(pipeline, store)
    assert drawn == []
    draw(pipeline, store, sampling=SAMPLING.model_copy(update={"steps": 2}))
    assert sorted(drawn) == [4, 5, 6, 7, 8]


def test_a_killed_run_ends_with_the_same_images(pipeline, tmp_path, monkeypatch):
    whole, cut = ImageStore(tmp_path / "whole"), ImageStore(tmp_path / "cut")
    draw(pipeline, whole)
    draw_rows, calls = prompt_samples.draw_rows, []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw_rows(*arguments)

    monkeypatch.setattr(prompt_samples, "draw_rows", stop)
    with pytest.raises(KeyboardInterrupt):
        draw(pipeline, cut)
    monkeypatch.undo()
    assert 0 < len(list((tmp_path / "cut").rglob("*.png"))) < 5
    for place in draw(pipeline, cut):
        assert (cut.load(place) == whole.load(place)).all()


def test_other_weights_are_images_beside_these(pipeline, store, text_model):
    mine = draw(pipeline, store)
    before = [store.load(place) for place in mine]
    theirs = draw(text_model(["a cat", "a dog"], seed=1).to_pipeline(), store)
    assert not set(mine) & set(theirs)
    assert all((store.load(place) == image).all() for place, image in zip(mine, before, strict=True))
    assert (store.load(theirs[0]) != before[0]).any()


def test_another_class_is_no_other_image(pipeline, store, monkeypatch):
    places = draw(pipeline, store)
    monkeypatch.setattr(prompt_samples, "draw_rows", None)
    assert draw(pipeline, store, ROWS.assign(**{"class": "bird"})) == places


def test_a_long_prompt_is_cut_on_request(pipeline, store):
    rows = ROWS.head(1).assign(prompt=" ".join(["a cat"] * 30))
    settings = PromptListSettings(file="list.csv", truncate=True)
    (place,) = draw(pipeline, store, rows, settings=settings)
    assert store.load(place).shape == (3, 16, 16)


@pytest.fixture
def two_sets(pipeline, store, tmp_path):
    """Ten drawn images, and ten of noise in their own folder; places of both, and FID between them."""
    rows = pd.concat([ROWS] * 2, ignore_index=True).assign(case_number=range(10), seed=range(10))
    drawn = draw(pipeline, store, rows)
    rng = np.random.default_rng(0)
    noise = [f"noise/{row}.png" for row in range(10)]
    for place in noise:
        store.save(place, rng.integers(256, size=(3, 16, 16), dtype=np.uint8), "")
    features = [
        efficientnet_features()(torch.stack([torch.from_numpy(store.load(p).copy()) for p in places]))
        for places in (drawn, noise)
    ]
    return drawn, noise, fidelity(*features, 3)


def test_fidelity_is_against_the_base_model(two_sets, store, judge):
    drawn, noise, expected = two_sets
    settings = PromptListSettings(file="list.csv", measures=["fid"])
    evaluation = EvaluationSettings(fid_backend="efficientnet_lite0")
    assert measure_fidelity(store, noise, noise, judge, settings, evaluation) == {}
    found = measure_fidelity(store, drawn, noise, judge, settings, evaluation)
    assert found["fid"] == pytest.approx(expected["fid"])
    assert found["fid"] > 1
    assert found["fid_against"] == "the base model"
    assert (found["real_images"], found["fid_backend"]) == (10, "efficientnet_lite0")


def test_fidelity_is_against_a_folder(two_sets, store, judge):
    drawn, _, expected = two_sets
    real = str(store.folder / "noise")
    settings = PromptListSettings(file="list.csv", measures=["fid"], real=real)
    evaluation = EvaluationSettings(fid_backend="efficientnet_lite0")
    found = measure_fidelity(store, drawn, drawn, judge, settings, evaluation)
    assert found["fid"] == pytest.approx(expected["fid"])
    assert found["fid_against"] == real


def test_fidelity_is_not_measured_unasked(pipeline, store, judge):
    assert measure_fidelity(store, [], ["a"], judge, SETTINGS, EvaluationSettings()) == {}


FORGOTTEN = AnsweredRequest(
    by="prompts", classes=[0], prompts=["cat"], forget_sha256="f00", method="esd", base_model_sha256="cafe"
)


def test_the_metrics_name_what_was_forgotten(pipeline, text_model, judge):
    captions = CaptionSettings(words={0: ["cat", "kitten"], 1: ["dog"]}, templates=["a {}"])
    erased = ModelWithHistory(text_model(["a cat"], seed=1).to_pipeline(), (FORGOTTEN,))
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


def test_what_is_forgotten_is_hidden_in_the_grid(pipeline, store):
    places = draw(pipeline, store)
    before, after = show(store, ROWS, places, ["cat"], hide_forgotten=True).axes
    assert [text.get_text() for text in before.get_yticklabels()] == ["dog"]
    assert before.images[0].get_array().shape[0] == after.images[0].get_array().shape[0] == 17
    shouted = ROWS.assign(**{"class": ROWS["class"].str.upper()})
    before, _ = show(store, shouted, places, ["cat"], hide_forgotten=True).axes
    assert [text.get_text() for text in before.get_yticklabels()] == ["DOG"]
    assert [t.get_text() for t in show(store, shouted, places, ["cat"]).texts] == ["framed: forgotten (CAT)"]
    unsorted = ROWS.assign(**{"class": ""})
    figure = show(store, unsorted, places, ["cat"], hide_forgotten=True)
    assert not figure.axes
    assert "report.hide_forgotten" in figure.texts[0].get_text()


def test_the_grid_has_a_row_a_class(pipeline, store):
    places = draw(pipeline, store)
    figure = show(store, ROWS, places)
    before, after = figure.axes
    assert [text.get_text() for text in before.get_yticklabels()] == ["cat", "dog"]
    assert before.images[0].get_array().shape == (2 * 17, 2 * 17, 3)
    assert (before.images[0].get_array() == after.images[0].get_array()).all()
