import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from erasediff_pipeline.config import CaptionSettings, ForgetRequest
from erasediff_pipeline.data.request import AnsweredRequest
from erasediff_pipeline.data.split import hash_set, split_by_request
from erasediff_pipeline.errors import InvalidRequest

ROWS = np.arange(40)
MANIFEST = pd.DataFrame(
    {
        "id": [f"{row:06d}" for row in ROWS],
        "label": ROWS % 4,
        "sha256": [f"{row:02x}" for row in ROWS],
        "split": np.where(ROWS % 5 == 4, "test", "train"),
    }
)
"""Classes 0 to 3 in turn, every fifth image in the test split."""
WORDS = CaptionSettings(words={n: [f"word {n}"] for n in (0, 1, 2, 3, 7)}, templates=["{}"])


def ids(*rows):
    return set(MANIFEST["id"][list(rows)])


def train_ids(*classes):
    return ids(*(row for row in ROWS if row % 5 != 4 and row % 4 in classes))


def hash_of(ids):
    return hash_set(MANIFEST[MANIFEST["id"].isin(ids)])


def ask(folder, *requests):
    """A model's answers to these requests, one after the other: the last split, and all its history.

    ``rows`` are those of single images.
    """
    history, file = [], folder / "ids.csv"
    for asked in requests:
        if "rows" in asked:
            file.write_text("\n".join(["id", *MANIFEST["id"][asked["rows"]]]) + "\n")
            asked = {"ids_file": str(file)}
        split = split_by_request(MANIFEST, ForgetRequest(**asked), history, WORDS)
        forgotten = split.table["id"][split.table["set"] == "forget"]
        history.append(split.request.answered("esd", "cafe", forgotten))
    return split, history


def refusal(folder, *requests):
    """The one line that refuses the last of these requests."""
    with pytest.raises(InvalidRequest) as error:
        ask(folder, *requests)
    message = error.value.format_message().strip()
    assert "\n" not in message
    return message.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("requests", "forget", "retain", "gone"),
    [
        ([{"classes": [2, 0]}], train_ids(0, 2), train_ids(1, 3), [0, 2]),
        ([{"rows": [0, 1]}], ids(0, 1), train_ids(0, 1, 2, 3) - ids(0, 1), []),
        ([{"classes": [0]}, {"classes": [1]}], train_ids(1), train_ids(2, 3), [0, 1]),
        ([{"rows": [0, 1]}, {"classes": [1]}], train_ids(1) - ids(1), train_ids(0, 2, 3) - ids(0), [1]),
        ([{"classes": [0]}, {"rows": [1, 2]}], ids(1, 2), train_ids(1, 2, 3) - ids(1, 2), [0]),
        ([{"rows": [0]}, {"classes": [0]}], train_ids(0) - ids(0), train_ids(1, 2, 3), [0]),
        (
            [{"classes": [0]}, {"rows": [1]}, {"classes": [2]}, {"classes": [1]}],
            train_ids(1) - ids(1),
            train_ids(3),
            [0, 1, 2],
        ),
    ],
    ids=["classes", "images", "class, class", "images, class", "class, images", "its image, class", "four"],
)
def test_what_was_forgotten_before_is_in_neither_set(tmp_path, requests, forget, retain, gone):
    split, history = ask(tmp_path, *requests)
    request, table = split.request, split.table
    assert (set(table["id"][table["set"] == "forget"]), len(table)) == (forget, len(forget | retain))
    assert set(table["id"][table["set"] == "retain"]) == retain
    assert (request.forget_images, request.retain_images) == (len(forget), len(retain))
    assert (request.forget_sha256, request.retain_sha256) == (hash_of(forget), hash_of(retain))
    assert [entry.by for entry in history] == ["ids" if "rows" in asked else "classes" for asked in requests]
    assert request.by == history[-1].by
    assert request.earlier == tuple(history[:-1])
    assert request.classes == tuple(sorted({int(name) % 4 for name in forget}))
    assert request.forgotten_classes == gone


def test_description_of_a_request_by_class(tmp_path):
    assert ask(tmp_path, {"classes": [1]})[0].request.to_json() == {
        "by": "classes",
        "classes": [1],
        "forget_images": 8,
        "retain_images": 24,
        "forget_sha256": hash_of(train_ids(1)),
        "retain_sha256": hash_of(train_ids(0, 2, 3)),
    }


def images(*names):
    return pd.DataFrame({"id": names, "sha256": [f"sha-of-{name}" for name in names]}, dtype="str")


def test_hash_is_sha256_of_the_sorted_ids_with_their_images():
    """It knows no order and no duplicates."""
    expected = hashlib.sha256(b"a sha-of-a\nb sha-of-b").hexdigest()
    assert hash_set(images("b", "a")) == hash_set(images("a", "b", "a")) == expected


@pytest.mark.parametrize("at_a_time", [1, 2, 3, 4])
def test_hash_does_not_depend_on_how_much_is_hashed_at_a_time(monkeypatch, at_a_time):
    whole = hash_set(images(*"abcdefg"))
    monkeypatch.setattr("erasediff_pipeline.data.split.LINES_AT_A_TIME", at_a_time)
    assert hash_set(images(*"abcdefg")) == whole


def test_hash_tells_sets_apart():
    sets = [images(*names) for names in (["a"], ["b"], ["a", "b"], ["ab"], [])]
    sets.append(images("a").assign(sha256="other"))
    assert len({hash_set(rows) for rows in sets}) == 6


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"image\n000001\n", " has the columns ['image']: expected an `id` or a `file` column"),
        (b"file\na.png\n", ": images of this source have no files: name them by `id`"),
        (b"id\n000001,000002\n", ", line 2: 2 fields, but the header has 1"),
        (b"id\n", " has no rows"),
        (b"id\n000001\n000002\n000001\n", " repeats '000001': name each image once"),
        (b"id\n000001\n1.0\n", " repeats '000001': name each image once"),
        (b"id\n000001\n999999\n", " names '999999', not in the manifest's"),
        (b"id\n000001\n../000002\n", " names '../000002', not in the manifest's"),
        (b"id\n000001\n/etc/passwd\n", " names '/etc/passwd', not in the manifest's"),
        (b"id\na\nb\nc\nd\ne\nf\ng\n", " names 'a', 'b', 'c', 'd', 'e' and 2 more, not in the manifest's"),
        (b"id\n000001\n000004\n", " names '000004' of the test split, which the model never saw: name"),
    ],
)
def test_a_file_of_ids_that_cannot_be_answered_is_refused(tmp_path, content, said):
    path = tmp_path / "ids.csv"
    path.write_bytes(content)
    assert refusal(tmp_path, {"ids_file": str(path)}).startswith(f"forget.ids_file: ids.csv{said}")


def test_a_file_of_ids_that_is_none_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    for name, said in (
        ("nowhere.csv", "does not exist: expected a CSV"),
        ("folder", "cannot be read: Is a directory"),
    ):
        asked = {"ids_file": str(tmp_path / name)}
        assert refusal(tmp_path, asked) == f"forget.ids_file: {name} {said}"


def forgotten(folder, content, manifest=MANIFEST, **options):
    """Ids that this file of ids forgets."""
    (folder / "ids.csv").write_text(content)
    asked = ForgetRequest(ids_file=str(folder / "ids.csv"), **options)
    table = split_by_request(manifest, asked).table
    return list(table["id"][table["set"] == "forget"])


@pytest.mark.parametrize("content", ["id\n 000007 \n000010\n", "id\n7\n10\n", "id\n7.0\n10.\n"])
def test_ids_keep_their_zeros_or_get_them_back(tmp_path, content):
    assert forgotten(tmp_path, content) == ["000007", "000010"]


FILES = MANIFEST.assign(file=[f"class {row % 4}/{row}.png" for row in ROWS])
FILES.loc[39, "file"] = "class 3/0.png"


@pytest.mark.parametrize("name", ["class 3/7.png", "./class 3/7.png", "class 3\\7.png", "7.png"])
def test_images_may_be_named_by_their_files(tmp_path, name):
    assert forgotten(tmp_path, f"file\n{name}\n", FILES) == ["000007"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("class 3/77.png", "names 'class 3/77.png', not in the manifest's `file` column; the nearest is 'c"),
        ("0.png", "names '0.png', which may be 'class 0/0.png', 'class 3/0.png': name its folder, too"),
        ("7.png\nclass 3/7.png", "repeats '000007'"),
    ],
)
def test_files_that_name_no_image_or_several_are_refused(tmp_path, name, said):
    with pytest.raises(InvalidRequest) as error:
        forgotten(tmp_path, f"file\n{name}\n", FILES)
    assert said in error.value.message


def test_exact_copies_are_forgotten_with_an_image_or_the_request_is_refused(tmp_path, caplog):
    """000002 and 000003 show the pixels of 000001; 000004 does, too, but no model was trained on it."""
    copies = MANIFEST.assign(sha256=MANIFEST["sha256"].where(~MANIFEST.index.isin([1, 2, 3, 4]), "same"))
    assert forgotten(tmp_path, "id\n000001\n", copies) == ["000001", "000002", "000003"]
    assert "'000002', '000003' has the same pixels" in caplog.text
    every = "id\n000001\n000002\n000003\n"
    assert len(forgotten(tmp_path, every, copies, duplicates="refuse")) == 3
    with pytest.raises(InvalidRequest, match="'000002', '000003': the same pixels as images to forget"):
        forgotten(tmp_path, "id\n000001\n", copies, duplicates="refuse")


NAMED = MANIFEST.assign(**{"class": (ROWS % 4).astype(str)}).replace(
    {"class": {"0": "cat", "1": "English springer", "2": "2", "3": "hand"}}
)


@pytest.mark.parametrize(
    ("asked", "labels"),
    [
        ("cat", (0,)),
        ("English springer", (1,)),
        (["hand", "cat"], (0, 3)),
        ("hand cat", (0, 3)),
        ("0 hand", (0, 3)),
        ("3 2", (2, 3)),
        ("2", (2,)),
        (2, (2,)),
    ],
)
def test_classes_are_asked_for_by_number_or_name(asked, labels):
    assert split_by_request(NAMED, ForgetRequest(classes=asked)).request.classes == labels


@pytest.mark.parametrize(
    ("manifest", "asked", "said"),
    [
        (NAMED, "hands", "'hands' is no class, did you mean 'hand'?: choose from cat, English springer, 2"),
        (NAMED, "cat dog", "'dog' is no class: choose from cat, English springer, 2, hand"),
        (MANIFEST, "cat", "'cat': the classes of this source have no names: choose from [0, 1, 2, 3]"),
        (MANIFEST, "0 9", "[9] not in the data: choose from [0, 1, 2, 3]"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(manifest, asked, said):
    with pytest.raises(InvalidRequest) as error:
        split_by_request(manifest, ForgetRequest(classes=asked))
    assert error.value.message.startswith(f"forget.classes: {said}")


def test_history_of_a_request_by_class_is_short(tmp_path):
    assert ask(tmp_path, {"classes": [2, 0]})[1][0].to_json() == {
        "by": "classes",
        "classes": [0, 2],
        "forget_sha256": hash_of(train_ids(0, 2)),
        "method": "esd",
        "base_model_sha256": "cafe",
    }


def test_history_of_a_request_by_ids_names_the_images(tmp_path):
    (entry,) = ask(tmp_path, {"rows": [7, 3]})[1]
    assert entry.ids == ("000003", "000007")
    assert entry.forget_sha256 == hash_of(entry.ids)


def test_history_is_plain_json(tmp_path):
    history = ask(tmp_path, {"classes": [1]}, {"rows": [0]})[1]
    written = json.loads(json.dumps([entry.to_json() for entry in history]))
    assert [AnsweredRequest.model_validate(entry) for entry in written] == history


BEFORE = "this model has forgotten it before"
OF_CLASS_0 = [row for row in ROWS if row % 4 == 0 and row % 5 != 4]


@pytest.mark.parametrize(
    ("earlier", "asked", "said"),
    [
        ([], {"classes": [0, 7]}, "forget.classes: [7] not in the data: choose from [0, 1, 2, 3]"),
        ([{"classes": [0]}], {"classes": [7]}, "forget.classes: [7] not in the data: choose from [1, 2, 3]"),
        ([], {"classes": [2, 1, 0, 3]}, "forget.classes: [0, 1, 2, 3] is every class: leave at least one to"),
        ([{"classes": [0]}], {"classes": [1, 2, 3]}, "forget.classes: [1, 2, 3] is every class"),
        ([], {"rows": ROWS[ROWS % 5 != 4]}, "forget: the request covers all 32 training images"),
        ([{"classes": [0]}], {"classes": [0]}, f"forget.classes: '0': {BEFORE}"),
        ([{"classes": [0]}], {"classes": [1, 0]}, f"forget.classes: '0': {BEFORE}"),
        ([{"rows": OF_CLASS_0}], {"classes": [0]}, f"forget.classes: '0': {BEFORE}"),
        ([{"rows": [0, 3]}], {"rows": [1, 3]}, f"forget.ids_file: ids.csv: '000003': {BEFORE}"),
        ([{"classes": [0]}], {"rows": [8]}, f"forget.ids_file: ids.csv: '000008': {BEFORE}"),
        ([], {"prompts": ["word 7"]}, "forget.prompts: 'word 7': [7] not in the data: choose from [0, 1, 2"),
        (
            [],
            {"prompts": [f"word {n}" for n in range(4)]},
            "forget.prompts: 'word 0', 'word 1', 'word 2', 'word 3': [0, 1, 2, 3] is every class",
        ),
        ([{"classes": [0]}], {"prompts": ["word 0"]}, f"forget.prompts: 'word 0': '0': {BEFORE}"),
    ],
)
def test_what_cannot_be_forgotten_is_refused_as_it_was_asked_for(tmp_path, earlier, asked, said):
    assert refusal(tmp_path, *earlier, asked).startswith(said)
