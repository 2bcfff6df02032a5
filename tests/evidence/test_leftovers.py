from functools import cache
from pathlib import Path

import pytest
import yaml

from erasediff_pipeline.config import ReleaseSettings
from erasediff_pipeline.config.release import KINDS
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.evidence.leftovers import find_leftovers, read_places, remove_leftovers
from erasediff_pipeline.files import atomic_directory
from erasediff_pipeline.loader import ProjectConfigLoader
from tests.helpers.project import ROOT

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
WORDS = "tiny_text_to_image/"
SILENT = {"type": "text.TextDataset", "filepath": "data/08_reporting/note.txt"}


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")


@pytest.fixture
def data(tmp_path):
    """Two environments with a file of each kind, and what is none of them."""
    for name in [*FILES.values(), *OTHERS]:
        for environment in ("", WORDS):
            write(tmp_path / "data" / name.format(environment))
    return tmp_path / "data"


@cache
def places_of(environment):
    """By the project's own catalog."""
    names = {"env": environment.rstrip("/") or "local", "base_env": "base", "default_run_env": "local"}
    loader = ProjectConfigLoader(str(ROOT / "conf"), **names, merge_strategy={"parameters": "soft"})
    return read_places(loader.catalog_of_any_run())


def find(data, environment="", kinds=KINDS):
    found = find_leftovers(data, environment, "erasediff", places_of(environment))
    return [leftover for leftover in found if leftover.kind in kinds]


def files(data):
    return {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "catalog", sorted((ROOT / "conf").glob("*/catalog*.yml")), ids=lambda c: c.parent.name
)
def test_every_entry_of_every_environment_says_what_it_may_hold(catalog):
    read_places(yaml.safe_load(catalog.read_text()))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (SILENT, "metadata.holds: None: say what forgotten data it may hold: choose from nothing, check"),
        (SILENT | {"metadata": {"holds": "images?"}}, r"metadata.holds: 'images\?': say"),
        ({"filepath": "/srv/x", "metadata": {"holds": "images"}}, "expected a path below data/"),
        ({"filepath": "s3://b/x", "metadata": {"holds": "images"}}, "s3://b/x: holds images: expected"),
    ],
)
def test_an_entry_that_says_nothing_or_cannot_be_searched_is_refused(entry, why):
    with pytest.raises(UserError, match=f"catalog: note: .*{why}"):
        read_places({"_part": {}, "note": entry})


def test_a_new_entry_is_found_for_every_method_that_wrote_it(data):
    notes = [f"data/08_reporting/{method}/note.txt" for method in ("erasediff", "salun")]
    for note in notes:
        write(data.parent / note)
    entry = {"dataset": {"filepath": "data/08_reporting/{method}/note.txt"}, "metadata": {"holds": "reports"}}
    found = find_leftovers(data, "", "erasediff", read_places({"{method}.note": entry}))
    assert [f.path for f in found if f.path.endswith("note.txt")] == notes


@pytest.mark.parametrize("environment", ["", WORDS])
def test_each_kind_is_found_where_it_lies(data, environment):
    assert set(FILES) == set(KINDS)
    found = find(data, environment)
    assert {leftover.kind for leftover in found} == set(KINDS)
    for leftover in found:
        if leftover.kind != "set_aside":
            assert f"data/{FILES[leftover.kind].format(environment)}".startswith(leftover.path)
            assert (leftover.files, leftover.bytes) == (1, 5)
    aside = [leftover.path for leftover in found if leftover.kind == "set_aside"]
    assert f"data/{FILES['set_aside'].format(environment)}" in aside


@pytest.mark.parametrize("entry", [{"filepath": "{}"}, {"path": "{}", "dataset": "pandas.CSVDataset"}])
@pytest.mark.parametrize("place", ["data/06_models/export", "data/07_model_output/mine/base_samples"])
@pytest.mark.parametrize("kind", ["other_models", "images", "features"])
def test_what_an_entry_declares_of_its_own_path_holds(data, entry, place, kind):
    """Patterns of other entries match these paths, too."""
    write(data.parent / place / "model_index.json")
    own = {key: value.format(place) for key, value in entry.items()} | {"metadata": {"holds": kind}}
    places = read_places({"any": {"filepath": "data/*/*", "metadata": {"holds": "split"}}, "own": own})
    found = {f.path: f.kind for f in find_leftovers(data, "", "erasediff", places)}
    assert found[place] == kind


def test_what_another_method_has_left_is_found(data):
    """The base model drew the same for it, and its features are of the same images; any may be audited."""
    reports = [f"data/08_reporting/{of}/report.html" for of in ("salun", "audit/salun", "audit/erasediff")]
    for name in ("data/07_model_output/salun/base_samples/images.npy", *reports):
        write(data.parent / name)
    found = {leftover.path for leftover in find(data)}
    assert {"data/07_model_output/salun/base_samples", *reports} <= found
    assert not [name for name in found if f"/{WORDS}" in name and not Path(name).name.startswith(".")]


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("06_models/{}erasediff", "set_aside"),
        ("04_feature/{}salun/mask.safetensors", "set_aside"),
        (".checkpoints/{}salun.safetensors", "checkpoints"),
    ],
)
def test_what_was_being_written_is_found(data, place, kind):
    """As ``kill -9`` leaves it."""
    path = data / place.format(WORDS)
    part = f".{path.name}.part"
    with atomic_directory(path) as fresh:
        write(fresh / "model_index.json")
        (found,) = (f for f in find(data, WORDS) if f.path.endswith(part))
        assert (found.kind, data.parent / found.path, found.files) == (kind, fresh.parent, 1)
    assert not any(f.path.endswith(part) for f in find(data, WORDS))


def test_what_was_set_aside_is_no_other_model(data):
    (data / "06_models/.erasediff.earlier").unlink()
    write(data / "06_models/.erasediff.earlier/model_index.json")
    assert [f.kind for f in find(data) if f.path == "data/06_models/.erasediff.earlier"] == ["set_aside"]


def test_what_is_removed_is_gone_and_nothing_else(data):
    before = files(data)
    remove_leftovers(data, find(data, kinds=["features", "base_samples"]))
    assert before - files(data) == {FILES[kind].format("") for kind in ("features", "base_samples")}


def test_a_link_that_leads_outside_is_not_followed(data, tmp_path):
    write(tmp_path / "outside/mine.txt")
    place = data / "07_model_output/erasediff/base_samples"
    (place / "images.npy").unlink()
    place.rmdir()
    place.symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match="base_samples: leads outside of data: nothing is removed"):
        remove_leftovers(data, find(data, kinds=["base_samples"]))
    assert (tmp_path / "outside/mine.txt").exists()


def test_every_kind_is_removed_or_kept():
    settings = ReleaseSettings()
    assert sorted([*settings.remove, *settings.keep]) == sorted(KINDS)
    for remove in (["features"], [*settings.remove, "images"]):
        with pytest.raises(ValueError, match="each kind once, in remove or in keep"):
            ReleaseSettings(remove=remove)
