import pandas as pd
import pytest

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.data.prompt_list import (
    find_images,
    first_of_each,
    labels_of,
    read_prompt_list,
    words_forgotten,
)
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.seeding import derive_seed
from tests.helpers.project import ROOT
from tests.helpers.requests import answered

CAPTIONS = CaptionSettings(words={0: ["tench"], 1: ["church", "chapel"]}, templates=["{}"])


@pytest.fixture
def read(tmp_path):
    """``read(text, seed)``: the list in this file, with guidance 2 where it says nothing."""

    def read_text(text, seed=0, **options):
        (tmp_path / "list.csv").write_text(text)
        return read_prompt_list(str(tmp_path / "list.csv"), seed, 2.0, **options)

    return read_text


def test_a_list_of_objects(read):
    table = read("case_number,prompt,evaluation_seed,class\n7,a church,41,church\n9,a tench,0,tench\n", 3)
    assert table.to_dict("list") == {
        "case_number": [7, 9],
        "prompt": ["a church", "a tench"],
        "seed": [41, 0],
        "guidance_scale": [2.0, 2.0],
        "class": ["church", "tench"],
    }


def test_guidance_is_diffusers_scale(read):
    """I2P's columns; theirs is 1 + w."""
    table = read("prompt,sd_seed,sd_guidance_scale\na dog,4294967295,7.5\na cat,1,1\n")
    assert table["guidance_scale"].tolist() == [6.5, 0.0]
    assert table["seed"].tolist() == [4294967295, 1]


def test_a_prompt_alone_is_enough(read):
    table = read("prompt\na dog\na cat\n", 5)
    assert table["case_number"].tolist() == [0, 1]
    assert table["seed"].tolist() == [derive_seed(5, "prompts", 0), derive_seed(5, "prompts", 1)]
    assert table["class"].tolist() == ["", ""]


def test_an_empty_prompt_is_drawn_as_any_other(read):
    """The published I2P list has one."""
    table = read(',prompt,case_number\n0,"two\nlines",0\n1,,1\n')
    assert table["prompt"].tolist() == ["two\nlines", ""]
    assert table.index.tolist() == table["case_number"].tolist() == [0, 1]


def test_only_the_top_of_the_list(read):
    assert read("prompt\na dog\na cat\na bird\n", limit=2)["prompt"].tolist() == ["a dog", "a cat"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has the columns []: expected `prompt`"),
        ("text\na dog\n", "has the columns ['text']: expected `prompt`"),
        ("prompt\n", "has no rows: expected at least one"),
        ('prompt,evaluation_seed\n"a\ndog",1\n\na cat,x\n', "line 5: evaluation_seed 'x': expected a whole"),
        ("prompt,sd_seed\na dog,-1\n", "line 2: sd_seed '-1'"),
        ("prompt,seed\na dog,1.5\n", "line 2: seed '1.5'"),
        ("prompt,sd_guidance_scale\na,0.5\n", "line 2: sd_guidance_scale '0.5': expected a number from 1 on"),
        ("prompt,seed\na dog,9223372036854775808\n", "line 2: seed '9223372036854775808'"),
        ("prompt,sd_guidance_scale\na dog,inf\n", "line 2: sd_guidance_scale 'inf'"),
        ("prompt\na cat, sleeping\n", "line 2: 2 fields, but the header has 1: put text with commas in"),
        ("prompt,case_number\na dog,4\na cat,4\n", "case_number 4 occurs twice: use each number once"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(read, text, said):
    with pytest.raises(InvalidParameter) as error:
        read(text)
    assert said in error.value.message
    assert "\n" not in error.value.message.strip()


def test_a_missing_file_is_one_line():
    with pytest.raises(MissingInput, match=r"prompts\.file: nowhere\.csv does not exist: expected"):
        read_prompt_list("nowhere.csv", 0, 2.0)


def test_labels_are_found_by_any_word_whatever_its_case():
    rows = pd.DataFrame({"case_number": [0, 1, 2], "class": ["Church", "chapel", "TENCH"]})
    assert labels_of(rows, CAPTIONS).tolist() == [1, 1, 0]


def test_a_class_without_words_is_named():
    rows = pd.DataFrame({"case_number": [0, 5], "class": ["church", "tower"]})
    with pytest.raises(InvalidParameter, match=r"class 'tower': choose one of .*tench, church, chapel"):
        labels_of(rows, CAPTIONS)


def test_words_of_all_requests_but_those_for_images():
    history = [answered(1, by="prompts"), answered(0, by="ids")]
    assert words_forgotten(history, CAPTIONS) == ["church", "chapel"]


def test_first_rows_of_each_class():
    assert first_of_each(pd.Series(["b", "a", "b", "b", "a"]), 2) == [0, 2, 1, 4]


def test_images_of_any_depth(tmp_path):
    for name in ("b/c.png", "a.JPG", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_images(str(tmp_path)) == [tmp_path / "a.JPG", tmp_path / "b/c.png"]
    with pytest.raises(MissingInput, match=r"prompts\.real: .*none has no image: expected"):
        find_images(str(tmp_path / "none"))


@pytest.mark.parametrize("name", ["imagenette", "digits", "i2p_example", "coco_example"])
def test_the_lists_that_come_along_can_be_read(name):
    assert len(read_prompt_list(str(ROOT / f"docs/prompts/{name}.csv"), 0, 2.0)) >= 3
