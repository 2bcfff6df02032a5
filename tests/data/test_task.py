import numpy as np
import pandas as pd
import pytest

from erasediff_pipeline.config import CaptionSettings, EvaluationSettings, ForgetRequest
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.task import build_task
from erasediff_pipeline.errors import InvalidRequest

CAPTIONS = CaptionSettings(
    words={0: ["cat"], 1: ["dog", "hound"], 2: ["cow"]}, templates=["a {}", "the {}", "{}"]
)
REQUEST = ForgetRequest(prompts=["dog"], templates=["a {}"], anchor_prompt="an animal")
COUNTS = EvaluationSettings(forget_samples=4, retain_samples=5, precision_neighbours=3)
IDS = [f"{row:06d}" for row in range(12)]
CAPTIONED = [
    CAPTIONS.templates[i % 3].replace("{}", words[i % len(words)])
    for words in CAPTIONS.words.values()
    for i in range(4)
]
LABELS = np.arange(12) // 4
SPLIT = ["train", "train", "train", "test"] * 3
MANIFEST = pd.DataFrame({"id": IDS, "label": LABELS, "sha256": IDS, "split": SPLIT, "prompt": CAPTIONED})
"""Twelve images in three classes, the last one of each unseen; captions in turn."""
IMAGES = LabelledImages(np.arange(12, dtype=np.uint8).repeat(3 * 4).reshape(12, 3, 2, 2), LABELS)
NO_CAPTIONS = CaptionSettings()


def task_of(request=REQUEST, earlier=(), captions=CAPTIONS, manifest=MANIFEST):
    return build_task(IMAGES, manifest, request, captions, earlier)


def roles(task):
    conditions = task.conditions
    return dict(zip(conditions["prompt"], conditions["role"], strict=True))


def test_a_class_is_its_own_number():
    conditions = task_of(ForgetRequest(classes=[1]), captions=NO_CAPTIONS).conditions
    assert conditions["label"].tolist() == conditions.index.tolist() == [0, 1, 2]
    assert conditions["role"].tolist() == ["retain", "forget", "retain"]


def test_each_prompt_has_its_role():
    task = task_of()
    assert (task.request.by, task.request.classes) == ("prompts", (1,))
    assert roles(task) == {
        **dict.fromkeys(["a cat", "the cat", "cat", "a cow", "the cow", "cow"], "retain"),
        "a dog": "erase",
        **dict.fromkeys(["the dog", "dog"], "forget"),
        **dict.fromkeys(["a hound", "the hound", "hound"], "synonym"),
        "an animal": "anchor",
    }
    assert task.conditions.index.tolist() == list(range(len(task.conditions)))
    assert task.prompts[task.anchor] == "an animal"
    assert task.conditions["label"][task.anchor] == -1


def test_a_sentence_that_the_data_does_not_have_may_be_erased_in():
    task = task_of(ForgetRequest(prompts=["dog"], templates=["my {}"]))
    assert (roles(task)["my dog"], roles(task)["a dog"]) == ("erase", "forget")


def test_an_anchor_may_be_a_retained_prompt():
    task = task_of(ForgetRequest(prompts=["dog"], templates=["a {}"], anchor_prompt="a cat"))
    assert roles(task)["a cat"] == "retain"
    assert task.conditions["label"][task.anchor] == 0


def test_without_an_anchor_no_prompt_is_added():
    """The empty prompt draws every class, the forgotten one too: it is an anchor only if it is named."""
    task = task_of(ForgetRequest(prompts=["dog"], templates=["a {}"]))
    assert task.anchor is None
    assert "" not in roles(task)
    named = task_of(ForgetRequest(prompts=["dog"], templates=["a {}"], anchor_prompt=""))
    assert named.conditions["prompt"][named.anchor] == ""


def test_forget_images_are_under_the_prompts_of_the_request():
    task = task_of(ForgetRequest(prompts=["dog"], templates=["a {}", "my {}"]))
    for forget in (task.forget, task.forget_of(1)):
        assert task.conditions["prompt"][forget.labels].tolist() == ["a dog", "my dog", "a dog"]
        assert forget.images[:, 0, 0, 0].tolist() == [4, 5, 6]
    assert task.forget_ids == ["000004", "000005", "000006"]
    assert len(task.forget_of(0)) == 0


def test_retained_and_unseen_images_are_under_their_captions():
    task = task_of()
    captions = ["a cat", "the cat", "cat", "a cow", "the cow", "cow"]
    assert task.conditions["prompt"][task.retain.labels].tolist() == captions
    for retained in (task.retain, task.real):
        assert retained.images[:, 0, 0, 0].tolist() == [0, 1, 2, 8, 9, 10]
    assert task.real.labels.tolist() == [0, 0, 0, 2, 2, 2]
    assert task.conditions["prompt"][task.unseen().labels].tolist() == ["a hound"]
    assert task.unseen().images[:, 0, 0, 0].tolist() == [7]
    assert task.unseen_retained().images[:, 0, 0, 0].tolist() == [3, 11]


def test_without_captions_labels_stay():
    plain = MANIFEST.drop(columns="prompt")
    task = task_of(ForgetRequest(classes=[1]), captions=NO_CAPTIONS, manifest=plain)
    assert (task.forget.classes, task.retain.classes, task.anchor) == ([1], [0, 2], None)


def test_a_later_request_knows_the_earlier_one():
    first = task_of()
    entry = first.request.answered("erasediff", "f00", first.forget_ids)
    later = task_of(ForgetRequest(prompts=["cow"], templates=["a {}"]), [entry])
    assert set(later.split["id"]) == {"000000", "000001", "000002", "000008", "000009", "000010"}
    assert (roles(later)["the dog"], roles(later)["a hound"]) == ("forget", "synonym")
    before = later.conditions["prompt"][later.forgotten_before]
    assert sorted(before) == sorted(["a dog", "the dog", "dog", "a hound", "the hound", "hound"])
    with pytest.raises(InvalidRequest, match="this model has forgotten it before"):
        task_of(REQUEST, [entry])


def test_images_with_captions_of_their_own():
    own = MANIFEST.assign(prompt=[f"picture {name}" for name in IDS])
    by_words, by_class = (task_of(asked, manifest=own) for asked in (REQUEST, ForgetRequest(classes=[1])))
    assert roles(by_words)["picture 000004"] == "synonym"
    assert roles(by_words)["picture 000000"] == "retain"
    assert roles(by_class)["picture 000004"] == "forget"


def test_samples_take_turns_between_the_prompts_of_a_class():
    task = task_of()
    plan = task.plan(COUNTS)
    drawn = plan.assign(prompt=task.conditions["prompt"][plan["number"]].to_numpy())
    groups = {key: g["prompt"].tolist() for key, g in drawn.groupby(["label", "role"], sort=False)}
    assert groups == {
        (0, "retain"): ["a cat", "the cat", "cat", "a cat", "the cat"],
        (1, "forget"): ["the dog", "dog", "the dog", "dog"],
        (1, "erase"): ["a dog"] * 4,
        (1, "synonym"): ["a hound", "the hound", "hound", "a hound"],
        (2, "retain"): ["a cow", "the cow", "cow", "a cow", "the cow"],
    }


def test_samples_of_classes_are_drawn_class_by_class():
    task = task_of(ForgetRequest(classes=[1]), captions=NO_CAPTIONS)
    plan = task.plan(COUNTS)
    assert plan["number"].tolist() == [0] * 5 + [1] * 4 + [2] * 5
    assert plan["draw"].tolist() == [*range(5), *range(4), *range(5)]
    assert task.judged_numbers(1).tolist() == [1]
    assert task.retained_numbers.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("change", "asked", "said"),
    [
        ({"prompt": "picture"}, REQUEST, "'picture' is of class 0 and of class 1"),
        (None, ForgetRequest(classes=[1]), "prepared without captions"),
        ({}, ForgetRequest(prompts=["wolf"]), "'wolf' not in captions.words: choose from cat, dog"),
        ({}, ForgetRequest(prompts=["cat", "dog", "cow"]), "every class"),
    ],
    ids=["a caption of two classes", "no captions", "unknown word", "every word"],
)
def test_what_cannot_be_answered_is_refused(change, asked, said):
    data = MANIFEST.drop(columns="prompt") if change is None else MANIFEST.assign(**change)
    with pytest.raises(InvalidRequest, match=said):
        task_of(asked, manifest=data)


def test_an_exact_copy_of_a_training_image_is_not_unseen():
    """Image 7 is of the test split, of class 1."""
    copied = MANIFEST.assign(sha256=[IDS[4] if name == IDS[7] else name for name in IDS])
    for manifest, retained in ((MANIFEST, 2), (copied, 1)):
        task = task_of(ForgetRequest(classes=[0]), captions=NO_CAPTIONS, manifest=manifest)
        assert (len(task.unseen()), len(task.unseen_retained())) == (1, retained)


def test_a_class_without_an_unseen_image_is_refused():
    copied = MANIFEST.assign(sha256=[IDS[4] if name == IDS[7] else name for name in IDS])
    with pytest.raises(InvalidRequest, match=r"class 1 has no unseen image: .* copies of training images"):
        task_of(ForgetRequest(classes=[1]), captions=NO_CAPTIONS, manifest=copied)


def test_a_sentence_that_the_text_encoder_reads_as_an_erased_one_is_not_new():
    """CLIP's tokenizer knows no capital letters, and no spaces but one."""
    for template in ("A {}", "a  {} "):
        found = roles(task_of(ForgetRequest(prompts=["dog"], templates=[template])))
        assert found["a dog"] == found[template.replace("{}", "dog")] == "erase"
        assert found["the dog"] == "forget"
