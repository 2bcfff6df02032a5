import pytest

from tests.helpers.requests import answered, request


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": [0, 3]}, "class 0, 3 Bag (142 images)"),
        ({"classes": [0, 3], "by": "ids"}, "142 images of class 0, 3 Bag"),
        ({"by": "prompts", "prompts": ["cat", "dog"]}, '"cat" and "dog", class 0 (142 images)'),
        (
            {"earlier": [answered(1, 4), answered(5, by="ids"), answered(3)]},
            "class 0 (142 images), after 1, 4, 3 Bag",
        ),
    ],
    ids=["classes", "ids", "words", "earlier requests"],
)
def test_a_request_in_words(changes, words):
    assert request(**changes).in_words({3: "Bag", 0: "0"}) == words


def test_only_what_was_set_is_written():
    sizes = {f"{side}_{what}" for side in ("forget", "retain") for what in ("images", "sha256")}
    assert set(request().to_json()) == {"by", "classes", *sizes}
    later = request(earlier=[answered(1, by="ids", ids=["7"])])
    assert type(later).model_validate(later.to_json()) == later
    assert later.to_json()["earlier"][0]["ids"] == ["7"]
    assert "prompts" not in later.to_json()["earlier"][0]
