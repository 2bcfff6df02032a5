import pandas as pd
import pytest
from pydantic import ValidationError

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.data.captions import add_captions, prompts_of
from erasediff_pipeline.errors import InvalidParameter

CAPTIONS = CaptionSettings(words={0: ["cat"], 1: ["dog", "hound"]}, templates=["a {}", "{} at home"])
MANIFEST = pd.DataFrame({"id": [f"{i:06d}" for i in range(400)], "label": [0, 1] * 200})


def test_every_word_in_every_sentence():
    expected = ["a dog", "dog at home", "a hound", "hound at home"]
    assert prompts_of(["dog", "hound"], ["a {}", "{} at home"]) == expected


def test_each_image_gets_one_of_its_class():
    captioned = add_captions(MANIFEST, CAPTIONS, seed=0)
    assert captioned.drop(columns="prompt").equals(MANIFEST)
    for label, words in CAPTIONS.words.items():
        counts = captioned["prompt"][captioned["label"] == label].value_counts()
        expected = prompts_of(words, CAPTIONS.templates)
        assert set(counts.index) == set(expected)
        assert counts.min() > 200 / len(expected) / 2


def test_the_seed_decides():
    drawn = [add_captions(MANIFEST, CAPTIONS, seed)["prompt"] for seed in (0, 0, 1)]
    assert drawn[0].equals(drawn[1])
    assert not drawn[0].equals(drawn[2])


def test_a_class_without_words_is_refused():
    with pytest.raises(InvalidParameter, match="class 2 has no words: name at least one"):
        add_captions(MANIFEST.assign(label=2), CAPTIONS, 0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"words": {0: ["cat"], 1: ["Cat"]}, "templates": ["{}"]}, "of class 0 and of class 1"),
        ({"words": {0: [], 1: ["dog"]}, "templates": ["{}"]}, "class 0 has no words"),
        ({"words": {0: ["cat"], 1: ["dog"]}}, "words need templates"),
        ({"words": {0: ["cat"], 1: ["dog"]}, "templates": ["a photo"]}, "expected a sentence with one"),
        ({"words": {0: ["cat"], 1: ["dog"]}, "templates": ["{} and {}"]}, "expected a sentence with one"),
    ],
)
def test_what_makes_no_caption_is_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        CaptionSettings(**values)
