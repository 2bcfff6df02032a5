import numpy as np
import pandas as pd
import pytest

from erasediff_pipeline.config import CaptionSettings, EvaluationSettings, ForgetRequest
from erasediff_pipeline.data.conditions import (
    conditions_before,
    list_conditions,
    number_of,
    plan_samples,
    training_set,
    unseen_set,
)
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import history_entry, split_by_request
from erasediff_pipeline.errors import InvalidRequest

CAPTIONS = CaptionSettings(
    words={0: ["cat"], 1: ["dog", "hound"], 2: ["cow"]}, templates=["a {}", "the {}", "{}"]
)
REQUEST = ForgetRequest(prompts=["dog"], templates=["a {}"], anchor_prompt="an animal")
COUNTS = EvaluationSettings(forget_samples=4, retain_samples=5, precision_neighbours=3)


@pytest.fixture
def manifest():
    """Twelve images in three classes, the last one of each unseen; captions in turn."""
    rows = []
    for label, words in CAPTIONS.words.items():
        for i in range(4):
            prompt = CAPTIONS.templates[i % 3].replace("{}", words[i % len(words)])
            rows.append((f"{4 * label + i:06d}", label, "test" if i == 3 else "train", prompt))
    table = pd.DataFrame(rows, columns=["id", "label", "split", "prompt"])
    return table.assign(sha256=table["id"])


@pytest.fixture
def images():
    pixels = np.arange(12, dtype=np.uint8).repeat(3 * 4).reshape(12, 3, 2, 2)
    return LabelledImages(pixels, np.arange(12) // 4)


def describe(manifest, request=REQUEST, earlier=(), captions=CAPTIONS):
    split = split_by_request(manifest, request, list(earlier), captions)
    return split, list_conditions(manifest, split.description, captions)


def roles(conditions):
    return dict(zip(conditions["prompt"], conditions["role"], strict=True))


def test_a_class_is_its_own_number(manifest):
    _, conditions = describe(manifest, ForgetRequest(classes=[1]), captions=CaptionSettings())
    assert conditions["label"].tolist() == conditions.index.tolist() == [0, 1, 2]
    assert conditions["role"].tolist() == ["retain", "forget", "retain"]


def test_each_prompt_has_its_part(manifest):
    split, conditions = describe(manifest)
    assert split.description["by"] == "prompts"
    assert split.description["classes"] == [1]
    assert roles(conditions) == {
        **dict.fromkeys(["a cat", "the cat", "cat", "a cow", "the cow", "cow"], "retain"),
        "a dog": "erase",
        **dict.fromkeys(["the dog", "dog"], "forget"),
        **dict.fromkeys(["a hound", "the hound", "hound"], "synonym"),
        "an animal": "anchor",
    }
    assert conditions.index.tolist() == list(range(len(conditions)))
    assert conditions["label"][number_of(conditions, "an animal")] == -1


def test_a_sentence_that_the_data_does_not_have_may_be_erased_in(manifest):
    _, conditions = describe(manifest, ForgetRequest(prompts=["dog"], templates=["my {}"]))
    assert roles(conditions)["my dog"] == "erase"
    assert roles(conditions)["a dog"] == "forget"


def test_an_anchor_may_be_a_retained_prompt(manifest):
    request = ForgetRequest(prompts=["dog"], templates=["a {}"], anchor_prompt="a cat")
    _, conditions = describe(manifest, request)
    assert roles(conditions)["a cat"] == "retain"
    assert conditions["label"][number_of(conditions, "a cat")] == 0


def test_forget_images_are_under_the_prompts_of_the_request(manifest, images):
    request = ForgetRequest(prompts=["dog"], templates=["a {}", "my {}"])
    split, conditions = describe(manifest, request)
    forget = training_set(images, manifest, split.table, conditions, "forget")
    assert conditions["prompt"][forget.labels].tolist() == ["a dog", "my dog", "a dog"]
    assert forget.images[:, 0, 0, 0].tolist() == [4, 5, 6]


def test_retained_and_unseen_images_are_under_their_captions(manifest, images):
    split, conditions = describe(manifest)
    retain = training_set(images, manifest, split.table, conditions, "retain")
    assert conditions["prompt"][retain.labels].tolist() == [
        "a cat",
        "the cat",
        "cat",
        "a cow",
        "the cow",
        "cow",
    ]
    assert retain.images[:, 0, 0, 0].tolist() == [0, 1, 2, 8, 9, 10]
    unseen = unseen_set(images, manifest, conditions, [1])
    assert conditions["prompt"][unseen.labels].tolist() == ["a hound"]
    assert unseen.images[:, 0, 0, 0].tolist() == [7]


def test_without_captions_labels_stay(manifest, images):
    plain = manifest.drop(columns="prompt")
    split, conditions = describe(plain, ForgetRequest(classes=[1]), captions=CaptionSettings())
    for name, classes in (("forget", [1]), ("retain", [0, 2])):
        assert training_set(images, plain, split.table, conditions, name).classes == classes


def test_a_later_request_knows_the_earlier_one(manifest):
    first, _ = describe(manifest)
    entry = history_entry(first.description, first.table, "erasediff", "f00")
    split, conditions = describe(manifest, ForgetRequest(prompts=["cow"], templates=["a {}"]), [entry])
    assert set(split.table["id"]) == {"000000", "000001", "000002", "000008", "000009", "000010"}
    assert roles(conditions)["the dog"] == "forget"
    assert roles(conditions)["a hound"] == "synonym"
    before = conditions_before(conditions, split.description)
    assert sorted(conditions["prompt"][before]) == sorted(
        ["a dog", "the dog", "dog", "a hound", "the hound", "hound"]
    )
    with pytest.raises(InvalidRequest, match="forgotten by this model before"):
        describe(manifest, REQUEST, [entry])


def test_images_with_captions_of_their_own(manifest):
    own = manifest.assign(prompt=[f"picture {name}" for name in manifest["id"]])
    _, by_words = describe(own)
    assert roles(by_words)["picture 000004"] == "synonym"
    assert roles(by_words)["picture 000000"] == "retain"
    _, by_class = describe(own, ForgetRequest(classes=[1]))
    assert roles(by_class)["picture 000004"] == "forget"


def test_a_caption_of_two_classes_is_refused(manifest):
    with pytest.raises(InvalidRequest, match="'picture' is of class 0 and of class 1"):
        describe(manifest.assign(prompt="picture"))


def test_words_for_images_without_captions_are_refused(manifest):
    with pytest.raises(InvalidRequest, match="prepared without captions"):
        describe(manifest.drop(columns="prompt"), ForgetRequest(classes=[1]))


def test_samples_take_turns_between_the_prompts_of_a_class(manifest):
    _, conditions = describe(manifest)
    plan = plan_samples(conditions, COUNTS)
    drawn = plan.assign(prompt=conditions["prompt"][plan["number"]].to_numpy())
    groups = {key: g["prompt"].tolist() for key, g in drawn.groupby(["label", "role"], sort=False)}
    assert groups == {
        (0, "retain"): ["a cat", "the cat", "cat", "a cat", "the cat"],
        (1, "forget"): ["the dog", "dog", "the dog", "dog"],
        (1, "erase"): ["a dog"] * 4,
        (1, "synonym"): ["a hound", "the hound", "hound", "a hound"],
        (2, "retain"): ["a cow", "the cow", "cow", "a cow", "the cow"],
    }


def test_samples_of_classes_are_drawn_class_by_class(manifest):
    _, conditions = describe(manifest, ForgetRequest(classes=[1]), captions=CaptionSettings())
    assert plan_samples(conditions, COUNTS)["number"].tolist() == [0] * 5 + [1] * 4 + [2] * 5


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (ForgetRequest(prompts=["wolf"]), "'wolf' not among captions.words: allowed are cat, dog"),
        (ForgetRequest(prompts=["cat", "dog", "cow"]), "every class"),
    ],
)
def test_words_that_cannot_be_forgotten_are_refused(manifest, request_, said):
    with pytest.raises(InvalidRequest, match=said):
        describe(manifest, request_)
