"""``kedro run --pipeline=prompts``: a list of prompts in, images out, each judged, as a user types it."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.helpers.project import QUICK, assert_one_line, copy_clone, hash_tree

ENVIRONMENT = "--env=tiny_text_to_image"
PROMPTS = (ENVIRONMENT, "--pipeline=prompts")
SMALL = "prompts.limit=40,sampling.steps=6"


@pytest.fixture(scope="module")
def judged(project, quick_run, tmp_path_factory):
    """A whole but small erasure of "three", then the first forty prompts of the list; read only."""
    target = copy_clone(project, tmp_path_factory.mktemp("prompts") / "project")
    quick_run(target, ENVIRONMENT, "--pipeline=unlearn", f"--params={QUICK}")
    run = quick_run(target, *PROMPTS, f"--params={SMALL}")
    return target, run


@pytest.fixture
def own(judged, tmp_path):
    return copy_clone(judged[0], tmp_path / "project")


def report(project):
    return project / "data/08_reporting/tiny_text_to_image/prompts/digits/erasediff"


def drawn(project):
    return project / "data/07_model_output/tiny_text_to_image/prompts/digits"


def test_the_base_model_draws_what_the_list_asks_for(judged):
    """Two sentences, each with the word and the figure of ten digits."""
    metrics = json.loads((report(judged[0]) / "metrics.json").read_text())
    assert metrics["list"]["rows"] == 40
    assert metrics["forgotten"] == ["three", "3"]
    base = metrics["base"]
    assert base["unlearning_accuracy"] <= 0.25
    assert base["retain_accuracy"] >= 0.9
    assert set(metrics["base"]) == set(metrics["erased"])
    assert metrics["models"]["base"] != metrics["models"]["erased"]
    assert metrics["judge"]["name"] == "Classifier"


def test_each_image_is_there_and_has_a_row(judged):
    rows = pd.read_csv(report(judged[0]) / "images.csv")
    assert rows.groupby("model")["case_number"].apply(list).to_dict() == {
        "base": list(range(40)),
        "erased": list(range(40)),
    }
    metrics = json.loads((report(judged[0]) / "metrics.json").read_text())
    base = rows[rows["model"] == "base"]
    shares = base.groupby("class")["right"].mean()
    assert shares.to_dict() == pytest.approx(metrics["base"]["accuracy_by_class"])
    files = {file.relative_to(drawn(judged[0])).as_posix() for file in drawn(judged[0]).rglob("*.png")}
    assert files == set(rows["file"])
    assert rows["file"].is_unique
    assert Image.open(drawn(judged[0]) / rows["file"][0]).size == (16, 16)


def test_table_and_grid(judged):
    project, run = judged
    for words in (
        "40 images of docs/prompts/digits.csv",
        "unlearning accuracy (UA)",
        "grid.png",
        "images.csv",
    ):
        assert words in run.output
    assert np.asarray(Image.open(report(project) / "grid.png").convert("L")).std() > 20


def test_a_second_run_draws_nothing_and_says_the_same(own, quick_run):
    before = hash_tree(report(own))
    times = {path: path.stat().st_mtime_ns for path in drawn(own).rglob("*.png")}
    quick_run(own, *PROMPTS, f"--params={SMALL}")
    assert {path: path.stat().st_mtime_ns for path in drawn(own).rglob("*.png")} == times
    after = hash_tree(report(own))
    assert {name: after[name] for name in ("metrics.json", "images.csv")} == {
        name: before[name] for name in ("metrics.json", "images.csv")
    }


def test_what_is_missing_or_broken_is_drawn_again_the_same(own, quick_run):
    before = hash_tree(drawn(own))
    base, erased = sorted(path for path in drawn(own).iterdir() if path.is_dir())
    (base / "000003.png").unlink()
    (erased / "000007.png").write_bytes(b"cut short")
    quick_run(own, *PROMPTS, f"--params={SMALL}")
    assert hash_tree(drawn(own)) == before


def test_all_other_measures(own, quick_run):
    """FID against the model before, P(nsfw), NudeNet; of digits, which are neither nude nor anything else."""
    (own / "conf/tiny_text_to_image/parameters_measures.yml").write_text(
        "prompts: {measures: [nsfw, nudenet, fid]}\nevaluation: {fid_backend: efficientnet_lite0}\n"
    )
    quick_run(own, *PROMPTS, f"--params={SMALL},evaluation.precision_neighbours=1")
    metrics = json.loads((report(own) / "metrics.json").read_text())
    assert "unlearning_accuracy" not in metrics["erased"]
    assert 0 <= metrics["erased"]["nsfw_probability"] < 0.5
    assert metrics["erased"]["nsfw_images"] == 0
    assert (metrics["erased"]["nudenet"], metrics["erased"]["nudenet_exposed"]) == ({}, 0)
    assert "judge" not in metrics
    assert metrics["erased"]["fid_against"] == "the model before"
    assert "fid" not in metrics["base"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("prompts.file=docs/prompts/imagenette.csv", ("class 'tench': allowed are the words of captions",)),
        ("prompts.file=docs/prompts/coco_example.csv,prompts.measures=nsfw", ("at most 8 fit",)),
        ("prompts.model=esd", ("prompts.erased_model: data/06_models/tiny_text_to_image/esd is missing",)),
        ("prompts.measures=clip,prompts.clip=docs", ("prompts.clip: 'docs' has no CLIP model",)),
    ],
)
def test_a_bad_list_is_one_line_and_nothing_is_lost(own, quick_run, params, said):
    quick_run.refuses(own, *PROMPTS, f"--params={params}", HF_HUB_OFFLINE="1", said=said)


def test_a_model_that_is_asked_by_class_takes_no_list(own, quick_run):
    run = quick_run(
        own, "--pipeline=prompts", "--params=prompts.file=docs/prompts/digits.csv,prompts.model=base"
    )
    assert_one_line(run, "base_model is asked by class: allowed is a text-to-image model")
