import pytest

from erasediff_pipeline.config import ReleaseSettings
from erasediff_pipeline.config.release import KINDS
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.evidence.leftovers import PLACES, find_leftovers, remove_leftovers
from erasediff_pipeline.files import atomic_directory

FILES = {
    "checkpoints": ".checkpoints/{}erasediff.safetensors",
    "features": "04_feature/{}salun/mask.safetensors",
    "base_samples": "07_model_output/{}erasediff/base_samples/images.npy",
    "set_aside": "06_models/{}.erasediff.earlier",
    "prompt_images": "07_model_output/{}prompts/digits/base/0.png",
    "trials": "06_models/{}compare/retrain/weights.safetensors",
    "reports": "08_reporting/{}erasediff/report.html",
    "other_models": "06_models/{}salun/model_index.json",
    "split": "05_model_input/{}erasediff/split.parquet",
    "images": "03_primary/{}images/images.npy",
    "base_model": "06_models/{}base/model_index.json",
}
OTHERS = [
    "06_models/{}erasediff/model_index.json",
    "07_model_output/{}erasediff/erased_samples/images.npy",
    "06_models/{}erasediff/unet/weights.safetensors",
    "08_reporting/{}erasediff/metrics.json",
]


@pytest.fixture
def data(tmp_path):
    """Two environments with a file of each kind, and what is none of them."""
    for name in [*FILES.values(), *OTHERS]:
        for environment in ("", "words/"):
            path = tmp_path / "data" / name.format(environment)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"12345")
    return tmp_path / "data"


def files(data):
    return {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}


def test_every_kind_has_a_place():
    assert set(PLACES) == set(KINDS) == set(FILES)


@pytest.mark.parametrize("environment", ["", "words/"])
def test_each_kind_is_found_where_it_lies(data, environment):
    found = find_leftovers(data, environment, "erasediff")
    by_kind = {leftover.kind: leftover for leftover in found if leftover.kind != "set_aside"}
    assert set(by_kind) == set(KINDS) - {"set_aside"}
    for kind, leftover in by_kind.items():
        assert ("data/" + FILES[kind].format(environment)).startswith(leftover.path)
        assert (leftover.files, leftover.bytes) == (1, 5)
    aside = [leftover.path for leftover in found if leftover.kind == "set_aside"]
    assert f"data/{FILES['set_aside'].format(environment)}" in aside


def test_what_another_method_has_left_is_found(data):
    """The model before drew the same for it, and its features are of the same images."""
    shown = [data / "07_model_output/salun/base_samples/images.npy", data / "08_reporting/salun/report.html"]
    for path in shown:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"12345")
    found = {leftover.path for leftover in find_leftovers(data, "", "erasediff")}
    assert {"data/07_model_output/salun/base_samples", "data/08_reporting/salun/report.html"} <= found
    assert not [
        name for name in found if name.startswith(("data/07_model_output/words", "data/08_reporting/words"))
    ]


def test_a_folder_that_was_being_written_is_found(data):
    """As it is left by ``kill -9``."""

    def half_written():
        found = find_leftovers(data, "words/", "erasediff")
        return [leftover for leftover in found if "/.erasediff.part" in leftover.path]

    with atomic_directory(data / "06_models/words/erasediff") as fresh:
        (fresh / "weights.safetensors").write_bytes(b"12345")
        (found,) = half_written()
        assert (found.kind, data.parent / found.path, found.files) == ("set_aside", fresh.parent, 1)
    assert not half_written()


def test_what_safetensors_was_writing_is_found(data):
    """As it is left by ``kill -9``, too."""
    for environment in ("", "words/"):
        for name in (".checkpoints/{}.a.safetensors.part", "04_feature/{}salun/.a.safetensors.part"):
            folder = data / name.format(environment)
            folder.mkdir(parents=True)
            (folder / ".tmpdG7r0e").write_bytes(b"12345")
    found = {f.path: f.kind for f in find_leftovers(data, "words/", "erasediff") if ".part" in f.path}
    assert found == {
        "data/.checkpoints/words/.a.safetensors.part": "checkpoints",
        "data/04_feature/words/salun/.a.safetensors.part": "set_aside",
    }


def test_what_is_removed_is_gone_and_nothing_else(data):
    before = files(data)
    found = [f for f in find_leftovers(data, "", "erasediff") if f.kind in ("features", "base_samples")]
    remove_leftovers(data, found)
    assert before - files(data) == {FILES[kind].format("") for kind in ("features", "base_samples")}


def test_a_link_that_leads_outside_is_not_followed(data, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    place = data / "07_model_output/erasediff/base_samples"
    (place / "images.npy").unlink()
    place.rmdir()
    place.symlink_to(outside)
    found = [f for f in find_leftovers(data, "", "erasediff") if f.kind == "base_samples"]
    with pytest.raises(UserError, match="base_samples: leads outside of data: nothing is removed"):
        remove_leftovers(data, found)
    assert (outside / "mine.txt").exists()


def test_every_kind_is_removed_or_kept():
    settings = ReleaseSettings()
    assert sorted([*settings.remove, *settings.keep]) == sorted(KINDS)
    with pytest.raises(ValueError, match="each kind once, in remove or in keep"):
        ReleaseSettings(remove=["features"])
    with pytest.raises(ValueError, match="each kind once, in remove or in keep"):
        ReleaseSettings(remove=[*settings.remove, "images"])
