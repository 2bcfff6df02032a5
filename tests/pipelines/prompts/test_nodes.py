import pandas as pd
import pytest
import torch
from diffusers import DDIMScheduler

from erasediff_pipeline.catalog import ImageStore
from erasediff_pipeline.config import EvaluationSettings, PromptListSettings, ReportSettings, SamplingSettings
from erasediff_pipeline.pipelines.prompts import nodes

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
    return nodes.draw_from("base")(pipeline, rows, store, sampling, settings)


def test_an_image_is_what_diffusers_draws_for_the_seed(pipeline, store):
    places = draw(pipeline, store)
    assert places == [f"base/{case:06d}.png" for case in (4, 5, 6, 7, 8)]
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
    draw_rows = nodes.draw_rows

    def note(pipeline, rows, *settings):
        drawn.extend(rows["case_number"])
        return draw_rows(pipeline, rows, *settings)

    monkeypatch.setattr(nodes, "draw_rows", note)
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
    draw_rows, calls = nodes.draw_rows, []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw_rows(*arguments)

    monkeypatch.setattr(nodes, "draw_rows", stop)
    with pytest.raises(KeyboardInterrupt):
        draw(pipeline, cut)
    monkeypatch.undo()
    assert 0 < len(list((tmp_path / "cut").rglob("*.png"))) < 5
    for place in draw(pipeline, cut):
        assert (cut.load(place) == whole.load(place)).all()


def test_other_weights_are_another_image(pipeline, store, text_model):
    draw(pipeline, store)
    before = store.load("base/000004.png")
    other = text_model(["a cat", "a dog"], seed=1).to_pipeline()
    draw(other, store)
    assert (store.load("base/000004.png") != before).any()


def test_a_long_prompt_is_cut_on_request(pipeline, store):
    rows = ROWS.head(1).assign(prompt=" ".join(["a cat"] * 30))
    draw(pipeline, store, rows, settings=PromptListSettings(file="list.csv", truncate=True))
    assert store.load("base/000004.png").shape == (3, 16, 16)


def test_fidelity_is_against_the_model_before(pipeline, store, judge):
    rows = pd.concat([ROWS] * 2, ignore_index=True).assign(case_number=range(10), seed=range(10))
    places = draw(pipeline, store, rows)
    settings = PromptListSettings(file="list.csv", measures=["fid"])
    evaluation = EvaluationSettings(fid_backend="efficientnet_lite0")
    measure = nodes.measure_fidelity
    assert measure(store, places, places, judge, settings, evaluation) == {}
    same = measure(store, [*places], places[::-1], judge, settings, evaluation)
    assert same["fid"] == pytest.approx(0, abs=1e-3)
    assert same["fid_against"] == "the model before"
    assert (same["real_images"], same["fid_backend"]) == (10, "efficientnet_lite0")


def test_fidelity_is_against_a_folder(pipeline, store, judge):
    places = draw(pipeline, store)
    settings = PromptListSettings(file="list.csv", measures=["fid"], real=str(store.folder))
    evaluation = EvaluationSettings(fid_backend="efficientnet_lite0", retain_samples=4)
    found = nodes.measure_fidelity(store, places, places, judge, settings, evaluation)
    assert found["fid"] == pytest.approx(0, abs=1e-3)
    assert found["fid_against"] == str(store.folder)


def test_fidelity_is_not_measured_unasked(pipeline, store, judge):
    assert nodes.measure_fidelity(store, [], ["a"], judge, SETTINGS, EvaluationSettings()) == {}


def test_the_metrics_name_what_was_forgotten(pipeline, text_model):
    from erasediff_pipeline.config import CaptionSettings

    captions = CaptionSettings(words={0: ["cat", "kitten"], 1: ["dog"]}, templates=["a {}"])
    erased = text_model(["a cat"], seed=1).to_pipeline()
    erased.request_history = [{"by": "prompts", "classes": [0], "prompts": ["cat"]}]
    base_seen = ROWS.assign(right=True)
    erased_seen = ROWS.assign(right=ROWS["class"] == "dog")
    images, metrics, _, numbers = nodes.collect(
        pipeline, erased, ROWS, base_seen, {}, erased_seen, {"fid": 1.0}, SETTINGS, captions
    )
    assert metrics["forgotten"] == ["cat", "kitten"]
    assert (metrics["base"]["unlearning_accuracy"], metrics["erased"]["unlearning_accuracy"]) == (0.0, 1.0)
    assert metrics["erased"]["retain_accuracy"] == 1.0
    assert metrics["models"]["base"] != metrics["models"]["erased"]
    assert numbers["fid"] == {"value": 1.0, "step": 0}
    assert images["model"].tolist() == ["base"] * 5 + ["erased"] * 5


def test_the_grid_has_a_row_a_class(pipeline, store):
    places = draw(pipeline, store)
    figure = nodes.draw_pictures(store, ROWS, places, places, ReportSettings(grid_columns=2))
    before, after = figure.axes
    assert [text.get_text() for text in before.get_yticklabels()] == ["cat", "dog"]
    assert before.images[0].get_array().shape == (2 * 17, 2 * 17, 3)
    assert (before.images[0].get_array() == after.images[0].get_array()).all()
