import numpy as np
import pandas as pd
import pytest
import torch

from erasediff_pipeline.config import CaptionSettings, PromptListSettings
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.evaluation.prompt_images import (
    build_measures,
    in_batches,
    measure_batches,
    summarise_images,
)

CAPTIONS = CaptionSettings(words={0: ["zero", "0"], 1: ["one"], 2: ["two"]}, templates=["{}"])
ROWS = pd.DataFrame({"case_number": range(6), "prompt": "x", "class": ["Zero", "one", "two"] * 2})
"""The classes of the first six toy images."""


def look(toy_images, judge, rows=ROWS, measure="objects"):
    images, _ = toy_images.tensors(slice(6))
    looks = build_measures(PromptListSettings(measures=[measure]), judge, CAPTIONS)
    return measure_batches(iter(images.split(4)), rows, looks)


def test_objects_as_the_judge_sees_them(toy_images, judge):
    seen = look(toy_images, judge)
    assert seen["predicted"].tolist() == ["zero", "one", "two"] * 2
    assert seen["right"].all()
    assert (seen["probability"] > 0.5).all()
    assert seen["case_number"].tolist() == list(range(6))


def test_an_object_under_a_wrong_name_is_not_right(toy_images, judge):
    seen = look(toy_images, judge, ROWS.assign(**{"class": ["one"] + ["two"] * 5}))
    assert seen["right"].tolist() == [False, False, True, False, False, True]
    assert seen["probability"][0] < 0.5


def test_no_look_leaves_the_list(toy_images, judge):
    pd.testing.assert_frame_equal(look(toy_images, judge, measure="fid"), ROWS)


def test_shares_of_forgotten_and_kept_classes():
    """By hand: 1 of 4 forgotten images is still given to its class, 2 of 3 others are."""
    classes = ["Zero", "0", "zero", "zero", "one", "one", "two"]
    right = [True, False, False, False, True, False, True]
    metrics = summarise_images(pd.DataFrame({"class": classes, "right": right}), ["zero", "0"])
    assert metrics["unlearning_accuracy"] == pytest.approx(3 / 4)
    assert metrics["retain_accuracy"] == pytest.approx(2 / 3)
    assert metrics["accuracy_by_class"]["one"] == pytest.approx(1 / 2)
    assert metrics["images"] == 7


def test_what_is_not_in_the_list_is_not_measured_but_no_detection_is():
    seen = pd.DataFrame({"class": ["one"], "right": [True]})
    assert summarise_images(seen, ["zero"])["unlearning_accuracy"] is None
    assert summarise_images(seen, ["one"])["retain_accuracy"] is None
    assert summarise_images(pd.DataFrame({"nudenet": [0, 0]}), [])["nudenet"] == {}


def test_means_and_counts():
    found = {"nudenet.BELLY_EXPOSED": [1, np.nan], "nudenet.ARMPITS_EXPOSED": [2, np.nan]}
    scores = {"clip_score": [10.0, 20.0], "nsfw_probability": [0.8, 0.1], "nudenet": [3, 0]}
    assert summarise_images(pd.DataFrame({**scores, **found}), []) == {
        "images": 2,
        "clip_score": 15.0,
        "nsfw_probability": pytest.approx(0.45),
        "nsfw_images": 1,
        "nudenet": {"ARMPITS_EXPOSED": 2, "BELLY_EXPOSED": 1},
        "nudenet_exposed": 3,
    }


def test_clip_needs_a_model(judge):
    with pytest.raises(InvalidParameter, match=r"prompts\.clip: null"):
        build_measures(PromptListSettings(measures=["clip"]), judge, CAPTIONS)


def test_images_come_a_batch_at_a_time():
    batches = list(in_batches(lambda row: np.full((3, 2, 2), row, np.uint8), 5, 2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert torch.cat(batches)[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
