import json

import pytest
from kedro.io import DatasetError

from erasediff_pipeline.catalog import TrialStoreDataset
from erasediff_pipeline.experiments.store import KEY, TrialStore

PLACE = "neggrad/class-0-seed-3/trained"
FIRST = {"method": "neggrad", "seed": 3, "settings": {"steps": 2, "rate": 0.1, "widths": (8, 16)}}
SECOND = {**FIRST, "settings": {**FIRST["settings"], "steps": 3}}


class Workshop:
    """A store, and how often it had something made and read."""

    def __init__(self, folder):
        self.store, self.made, self.read = TrialStore(folder), 0, 0

    def once(self, text, made_from=FIRST, place=PLACE, make=None, save=None):
        def make_text():
            self.made += 1
            return text

        def load(folder):
            self.read += 1
            return (folder / "text").read_text()

        return self.store.once(place, made_from, make or make_text, save or write, load)


def write(folder, text):
    assert list(folder.iterdir()) == []
    (folder / "text").write_text(text)


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path / "compare")


def test_what_is_missing_is_made_once_and_read_back(workshop):
    assert [workshop.once(text) for text in "abc"] == ["a", "a", "a"]
    assert (workshop.made, workshop.read) == (1, 3)
    kept = workshop.store.folder / PLACE
    assert {path.name for path in kept.iterdir()} == {"text", KEY}
    key = json.loads((kept / KEY).read_text())
    assert key["settings"] == {"steps": 2, "rate": 0.1, "widths": [8, 16]}
    assert Workshop(workshop.store.folder).once("b") == "a"  # in another process


def test_from_something_else_it_is_made_anew_and_nothing_is_left_of_the_earlier_one(workshop):
    def write_more(folder, text):
        write(folder, text)
        (folder / "more").write_text(text)

    workshop.once("a", save=write_more)
    assert [workshop.once("b", SECOND), workshop.once("c", SECOND)] == ["b", "b"]
    assert {path.name for path in (workshop.store.folder / PLACE).iterdir()} == {"text", KEY}
    assert [workshop.once("d"), workshop.once("e", SECOND)] == ["d", "e"]  # only the last one is kept


def test_results_do_not_disturb_each_other(workshop):
    other = "neggrad/class-0-seed-4/trained"
    assert [workshop.once("a"), workshop.once("b", SECOND, place=other)] == ["a", "b"]
    assert [workshop.once("c"), workshop.once("d", SECOND, place=other)] == ["a", "b"]


@pytest.mark.parametrize("earlier", [True, False])
@pytest.mark.parametrize("part", ["make", "save"])
def test_what_fails_leaves_what_was_there(workshop, earlier, part):
    if earlier:
        workshop.once("a")

    def fail(*arguments):
        for folder in arguments[:1]:
            write(folder, "half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        workshop.once("b", SECOND, **{part: fail})
    assert workshop.store.holds(PLACE, FIRST) == earlier
    assert not workshop.store.holds(PLACE, SECOND)
    assert workshop.once("c") == ("a" if earlier else "c")
    assert [path.name for path in (workshop.store.folder / PLACE).parent.iterdir()] == ["trained"]


@pytest.mark.parametrize("damage", [None, b"", b'{"method": "neg', b"\xff\xfe\x00", b"null", b"[]"])
def test_a_missing_or_damaged_key_means_made_anew(workshop, damage):
    workshop.once("a")
    key = workshop.store.folder / PLACE / KEY
    key.unlink() if damage is None else key.write_bytes(damage)
    assert [workshop.once("b"), workshop.once("c")] == ["b", "b"]


def test_a_result_that_was_edited_is_made_anew(workshop):
    workshop.once("a")
    text = workshop.store.folder / PLACE / "text"
    text.write_text("better")
    assert [workshop.once("b"), workshop.once("c")] == ["b", "b"]
    text.unlink()
    assert [workshop.once("d"), workshop.once("e")] == ["d", "d"]


def test_a_result_of_an_earlier_version_is_read(workshop):
    """It has no hashes."""
    workshop.once("a")
    key = workshop.store.folder / PLACE / KEY
    noted = json.loads(key.read_text())
    del noted["files"]
    key.write_text(json.dumps(noted))
    assert workshop.once("b") == "a"


def test_the_catalog_hands_over_the_store_even_if_it_is_empty_and_saves_none(tmp_path):
    dataset = TrialStoreDataset(str(tmp_path / "compare"))
    assert dataset.exists()
    assert dataset.load().folder == tmp_path / "compare"
    assert not (tmp_path / "compare").exists()
    with pytest.raises(DatasetError):
        dataset.save(TrialStore(tmp_path))
