import hashlib
import json
import re

import numpy as np
import pandas as pd
import pytest

from erasediff_pipeline.config import CaptionSettings, ForgetRequest
from erasediff_pipeline.data.request import AnsweredRequest
from erasediff_pipeline.data.split import hash_set, read_ids, split_by_request
from erasediff_pipeline.errors import InvalidRequest


@pytest.fixture
def manifest():
    """Thirty images: classes 0, 1, 2 in turn, every fifth one in the test split."""
    rows = np.arange(30)
    return pd.DataFrame(
        {
            "id": [f"{row:06d}" for row in rows],
            "label": rows % 3,
            "sha256": [f"{row:02x}" for row in rows],
            "split": np.where(rows % 5 == 4, "test", "train"),
        }
    )


def hash_of(manifest, ids):
    return hash_set(manifest[manifest["id"].isin(ids)])


@pytest.fixture
def ids_file(tmp_path):
    """``ids_file(text)``: a request by ids with this content."""

    def write(text):
        path = tmp_path / "ids.csv"
        path.write_text(text)
        return str(path)

    return write


def sets_of(split):
    return {name: set(split.table["id"][split.table["set"] == name]) for name in ("forget", "retain")}


def refusal(manifest, earlier=None, **request):
    with pytest.raises(InvalidRequest) as error:
        split_by_request(manifest, ForgetRequest(**request), earlier or ())
    message = error.value.format_message()
    assert "\n" not in message.strip()
    return message


@pytest.mark.parametrize("classes", [[0], [2], [0, 1], [1, 1]])
def test_forget_and_retain_divide_the_training_images(manifest, classes):
    split = split_by_request(manifest, ForgetRequest(classes=classes))
    sets = sets_of(split)
    train = manifest[manifest["split"] == "train"]
    assert sets["forget"] | sets["retain"] == set(train["id"])
    assert not sets["forget"] & sets["retain"]
    assert sets["forget"] == set(train["id"][train["label"].isin(classes)])
    assert len(split.table) == len(train)


def test_by_ids_forgets_these_and_no_other(manifest, ids_file):
    split = split_by_request(manifest, ForgetRequest(ids_file=ids_file("id\n000003\n000000\n000007\n")))
    sets = sets_of(split)
    assert sets["forget"] == {"000000", "000003", "000007"}
    assert sets["retain"] == set(manifest["id"][manifest["split"] == "train"]) - sets["forget"]


def test_description_of_a_request_by_class(manifest):
    split = split_by_request(manifest, ForgetRequest(classes=[1]))
    sets = sets_of(split)
    assert split.request.to_json() == {
        "by": "classes",
        "classes": [1],
        "forget_images": len(sets["forget"]),
        "retain_images": len(sets["retain"]),
        "forget_sha256": hash_of(manifest, sets["forget"]),
        "retain_sha256": hash_of(manifest, sets["retain"]),
    }


def test_by_ids_keeps_the_classes(manifest, ids_file):
    split = split_by_request(manifest, ForgetRequest(ids_file=ids_file("id\n000000\n000001\n")))
    assert (split.request.by, split.request.classes) == ("ids", (0, 1))
    assert split.request.forgotten_classes == []


def test_by_class_names_the_classes_to_be_gone(manifest):
    assert split_by_request(manifest, ForgetRequest(classes=[2, 0])).request.forgotten_classes == [0, 2]


def rows(*ids):
    return pd.DataFrame({"id": ids, "sha256": [f"sha-of-{name}" for name in ids]}, dtype="str")


def test_hash_knows_no_order_and_no_duplicates():
    assert hash_set(rows("b", "a", "c")) == hash_set(rows("c", "a", "b", "a"))


def test_hash_is_sha256_of_the_sorted_ids_with_their_images():
    expected = hashlib.sha256(b"a sha-of-a\nb sha-of-b").hexdigest()
    assert hash_set(rows("b", "a")) == expected


@pytest.mark.parametrize("at_a_time", [1, 2, 3, 4])
def test_hash_does_not_depend_on_how_much_is_hashed_at_a_time(monkeypatch, at_a_time):
    whole = hash_set(rows(*"abcdefg"))
    monkeypatch.setattr("erasediff_pipeline.data.split.LINES_AT_A_TIME", at_a_time)
    assert hash_set(rows(*"abcdefg")) == whole


def test_the_same_ids_of_other_images_have_another_hash():
    assert hash_set(rows("a")) != hash_set(rows("a").assign(sha256="other"))


def test_hash_tells_sets_apart():
    assert len({hash_set(rows(*ids)) for ids in (["a"], ["b"], ["a", "b"], ["ab"], [])}) == 5


def test_same_request_in_another_order_has_the_same_hash(manifest, ids_file):
    first = split_by_request(manifest, ForgetRequest(ids_file=ids_file("id\n000000\n000001\n"))).request
    second = split_by_request(manifest, ForgetRequest(ids_file=ids_file("id\n000001\n000000\n"))).request
    assert first == second


def test_unknown_class(manifest):
    message = refusal(manifest, classes=[0, 7])
    assert "forget.classes" in message
    assert "[7]" in message
    assert "[0, 1, 2]" in message


def test_every_class(manifest):
    message = refusal(manifest, classes=[2, 1, 0])
    assert "forget.classes" in message
    assert "[0, 1, 2]" in message
    assert "retain" in message


def test_missing_ids_file(manifest, tmp_path):
    path = str(tmp_path / "nowhere.csv")
    message = refusal(manifest, ids_file=path)
    assert f"forget.ids_file: {path}" in message
    assert "does not exist" in message


def test_ids_file_with_another_column(manifest, ids_file):
    path = ids_file("image\n000001\n")
    message = refusal(manifest, ids_file=path)
    assert f"forget.ids_file: {path}" in message
    assert "['image']" in message
    assert "`id`" in message


@pytest.mark.parametrize("text", ["", "id\n"])
def test_ids_file_without_ids(manifest, ids_file, text):
    path = ids_file(text)
    assert f"forget.ids_file: {path}" in refusal(manifest, ids_file=path)


def test_repeated_ids(manifest, ids_file):
    path = ids_file("id\n000001\n000002\n000001\n")
    message = refusal(manifest, ids_file=path)
    assert f"forget.ids_file: {path}" in message
    assert "'000001'" in message
    assert "'000002'" not in message
    assert "once" in message


@pytest.mark.parametrize("unknown", ["999999", "../000002", "/etc/passwd"])
def test_unknown_ids(manifest, ids_file, unknown):
    path = ids_file(f"id\n000001\n{unknown}\n")
    message = refusal(manifest, ids_file=path)
    assert f"forget.ids_file: {path}" in message
    assert f"'{unknown}'" in message
    assert "manifest" in message


def test_ids_of_the_test_split(manifest, ids_file):
    path = ids_file("id\n000001\n000004\n")
    message = refusal(manifest, ids_file=path)
    assert f"forget.ids_file: {path}" in message
    assert "'000004'" in message
    assert "train split" in message


def test_all_training_images_by_ids(manifest, ids_file):
    train = manifest["id"][manifest["split"] == "train"]
    message = refusal(manifest, ids_file=ids_file("id\n" + "\n".join(train) + "\n"))
    assert "forget" in message
    assert f"all {len(train)}" in message


def test_many_unknown_ids_are_cut_short(manifest, ids_file):
    message = refusal(manifest, ids_file=ids_file("id\n" + "\n".join(f"x{i}" for i in range(50)) + "\n"))
    assert "and 45 more" in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x81", b'id\n"unclosed\n', b"id\n1,2,3\n4\n5,6,7,8\n"])
def test_file_that_is_no_csv(tmp_path, content):
    path = tmp_path / "ids.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"forget\.ids_file"):
        read_ids(path)


def test_folder_instead_of_an_ids_file(tmp_path):
    with pytest.raises(InvalidRequest, match=r"forget\.ids_file"):
        read_ids(tmp_path)


def test_ids_keep_their_zeros(ids_file):
    assert read_ids(ids_file("id\n 000007 \n000010\n")) == ["000007", "000010"]


def answered(manifest, *requests):
    """The history of a model that has answered these requests, one after the other."""
    history = []
    for request in requests:
        split = split_by_request(manifest, ForgetRequest(**request), history)
        ids = split.table["id"][split.table["set"] == "forget"]
        history.append(split.request.answered("esd", "cafe", ids))
    return history


def train_ids(manifest, *classes):
    train = manifest[manifest["split"] == "train"]
    return set(train["id"][train["label"].isin(classes)])


def test_history_of_a_request_by_class_is_short(manifest):
    (entry,) = answered(manifest, {"classes": [2, 0]})
    assert entry.to_json() == {
        "by": "classes",
        "classes": [0, 2],
        "forget_sha256": hash_of(manifest, train_ids(manifest, 0, 2)),
        "method": "esd",
        "base_model_sha256": "cafe",
    }


def test_history_of_a_request_by_ids_names_the_images(manifest, ids_file):
    (entry,) = answered(manifest, {"ids_file": ids_file("id\n000007\n000003\n")})
    assert entry.ids == ("000003", "000007")
    assert entry.forget_sha256 == hash_of(manifest, ["000003", "000007"])


def test_history_is_plain_json(manifest, ids_file):
    history = answered(manifest, {"classes": [1]}, {"ids_file": ids_file("id\n000000\n")})
    written = [entry.to_json() for entry in history]
    assert [AnsweredRequest.model_validate(entry) for entry in json.loads(json.dumps(written))] == history


def test_class_forgotten_before_is_in_neither_set(manifest):
    history = answered(manifest, {"classes": [0]})
    split = split_by_request(manifest, ForgetRequest(classes=[1]), history)
    assert sets_of(split) == {"forget": train_ids(manifest, 1), "retain": train_ids(manifest, 2)}
    assert split.request.retain_images == len(train_ids(manifest, 2))
    assert split.request.retain_sha256 == hash_of(manifest, train_ids(manifest, 2))
    assert split.request.earlier == tuple(history)
    assert split.request.forgotten_classes == [0, 1]


def test_images_forgotten_before_are_in_neither_set(manifest, ids_file):
    history = answered(manifest, {"ids_file": ids_file("id\n000000\n000001\n000002\n")})
    sets = sets_of(split_by_request(manifest, ForgetRequest(classes=[1]), history))
    gone = {"000000", "000001", "000002"}
    assert sets == {"forget": train_ids(manifest, 1) - gone, "retain": train_ids(manifest, 0, 2) - gone}


def test_images_after_a_class(manifest, ids_file):
    history = answered(manifest, {"classes": [0]})
    split = split_by_request(manifest, ForgetRequest(ids_file=ids_file("id\n000001\n000002\n")), history)
    sets = sets_of(split)
    assert sets["forget"] == {"000001", "000002"}
    assert sets["retain"] == train_ids(manifest, 1, 2) - sets["forget"]
    assert (split.request.by, split.request.classes) == ("ids", (1, 2))
    assert split.request.forgotten_classes == [0]


def test_three_requests_in_a_row(ids_file):
    rows = np.arange(40)
    ids = [f"{row:06d}" for row in rows]
    manifest = pd.DataFrame({"id": ids, "label": rows % 4, "sha256": ids, "split": "train"})
    history = answered(manifest, {"classes": [0]}, {"ids_file": ids_file("id\n000001\n")}, {"classes": [2]})
    assert [entry.by for entry in history] == ["classes", "ids", "classes"]
    split = split_by_request(manifest, ForgetRequest(classes=[1]), history)
    sets = sets_of(split)
    assert sets["forget"] == train_ids(manifest, 1) - {"000001"}
    assert sets["retain"] == train_ids(manifest, 3)
    assert split.request.forgotten_classes == [0, 1, 2]


def test_a_base_model_has_no_earlier_requests(manifest):
    assert "earlier" not in split_by_request(manifest, ForgetRequest(classes=[1])).request.to_json()


def test_the_same_class_twice(manifest):
    history = answered(manifest, {"classes": [0]})
    for classes in ([0], [1, 0]):
        message = refusal(manifest, history, classes=classes)
        assert "forget.classes: '0'" in message
        assert "before" in message


WORDS = CaptionSettings(words={0: ["zero"], 1: ["one"], 2: ["two"], 7: ["seven"]}, templates=["{}"])


@pytest.mark.parametrize(
    ("words", "earlier", "said"),
    [
        (["seven"], [], "forget.prompts: 'seven': [7] not in the data: choose from [0, 1, 2]"),
        (["zero", "one", "two"], [], "forget.prompts: 'zero', 'one', 'two': [0, 1, 2] is every class"),
        (["zero"], [{"classes": [0]}], "forget.prompts: 'zero': '0': this model has forgotten it before"),
    ],
)
def test_who_asks_by_words_is_answered_by_words(manifest, words, earlier, said):
    with pytest.raises(InvalidRequest, match=re.escape(said)):
        split_by_request(manifest, ForgetRequest(prompts=words), answered(manifest, *earlier), WORDS)


def test_the_same_image_twice(manifest, ids_file):
    history = answered(manifest, {"ids_file": ids_file("id\n000000\n000003\n")})
    path = ids_file("id\n000001\n000003\n")
    message = refusal(manifest, history, ids_file=path)
    assert f"forget.ids_file: {path}: '000003'" in message
    assert "before" in message
    assert "'000001'" not in message


def test_image_of_a_class_forgotten_before(manifest, ids_file):
    message = refusal(manifest, answered(manifest, {"classes": [0]}), ids_file=ids_file("id\n000003\n"))
    assert "'000003': this model has forgotten it before" in message


def test_class_that_only_images_were_forgotten_of_can_still_be_forgotten(manifest, ids_file):
    history = answered(manifest, {"ids_file": ids_file("id\n000000\n")})
    sets = sets_of(split_by_request(manifest, ForgetRequest(classes=[0]), history))
    assert sets["forget"] == train_ids(manifest, 0) - {"000000"}
    assert sets["retain"] == train_ids(manifest, 1, 2)


def test_class_that_every_image_was_forgotten_of_cannot(manifest, ids_file):
    text = "id\n" + "\n".join(train_ids(manifest, 0)) + "\n"
    history = answered(manifest, {"ids_file": ids_file(text)})
    assert "'0': this model has forgotten it before" in refusal(manifest, history, classes=[0])


def test_last_class_left_must_be_retained(manifest):
    message = refusal(manifest, answered(manifest, {"classes": [0]}), classes=[1, 2])
    assert "[1, 2] is every class" in message


def test_unknown_class_names_what_is_left(manifest):
    message = refusal(manifest, answered(manifest, {"classes": [0]}), classes=[7])
    assert "[7] not in the data: choose from [1, 2]" in message
