"""``kedro run --pipeline=prompts``: a list of prompts in, images out, each judged."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.helpers.project import copy_clone, hash_tree, read_json

ENVIRONMENT = "--env=tiny_text_to_image"
PROMPTS = (ENVIRONMENT, "--pipeline=prompts")
SMALL = "prompts.limit=40,sampling.steps=6,sampling.guidance_scale=2.0"
REPORT = "data/08_reporting/tiny_text_to_image/prompts/digits/erasediff"
DRAWN = "data/07_model_output/tiny_text_to_image/prompts/digits"


@pytest.fixture(scope="module")
def judged(three, quick_run, tmp_path_factory):
    """A whole but small erasure of "three", then the first forty prompts of the list; read only."""
    target = copy_clone(three.project, tmp_path_factory.mktemp("prompts") / "project")
    return target, quick_run(target, *PROMPTS, f"--params={SMALL}")


@pytest.fixture
def own(judged, tmp_path):
    return copy_clone(judged[0], tmp_path / "project")


@pytest.fixture(scope="module")
def metrics(judged):
    return read_json(judged[0] / REPORT / "metrics.json")


def test_the_base_model_draws_what_the_list_asks_for(metrics):
    """Two sentences, each with the word and the figure of ten digits."""
    assert metrics["list"]["rows"] == 40
    assert metrics["forgotten"] == ["three", "3"]
    assert metrics["base"]["unlearning_accuracy"] <= 0.25
    assert metrics["base"]["retain_accuracy"] >= 0.9
    assert set(metrics["base"]) == set(metrics["erased"])
    assert metrics["models"]["base"] != metrics["models"]["erased"]
    assert metrics["judge"]["name"] == "Classifier"


def test_each_image_is_there_and_has_a_row(judged, metrics):
    rows = pd.read_csv(judged[0] / REPORT / "images.csv")
    cases = rows.groupby("model")["case_number"].apply(list).to_dict()
    assert cases == {which: list(range(40)) for which in ("base", "erased")}
    shares = rows[rows["model"] == "base"].groupby("class")["right"].mean()
    assert shares.to_dict() == pytest.approx(metrics["base"]["accuracy_by_class"])
    drawn = judged[0] / DRAWN
    assert sorted(rows["file"]) == sorted(file.relative_to(drawn).as_posix() for file in drawn.rglob("*.png"))
    assert Image.open(drawn / rows["file"][0]).size == (16, 16)


def test_table_and_grid(judged):
    project, run = judged
    for words in ("docs/prompts/digits.csv", "unlearning accuracy (UA)", "grid.png", "images.csv"):
        assert words in run.output
    assert np.asarray(Image.open(project / REPORT / "grid.png").convert("L")).std() > 20


def test_a_second_run_draws_what_is_missing_or_broken_and_says_the_same(own, quick_run):
    before = hash_tree(own / REPORT), hash_tree(own / DRAWN)
    base, erased = sorted(path for path in (own / DRAWN).iterdir() if path.is_dir())
    (base / "000003.png").unlink()
    (erased / "000007.png").write_bytes(b"cut short")
    times = {path: path.stat().st_mtime_ns for path in (own / DRAWN).rglob("*.png")}
    quick_run(own, *PROMPTS, f"--params={SMALL}")
    after = hash_tree(own / REPORT), hash_tree(own / DRAWN)
    assert after[1] == before[1]
    drawn = [path for path, time in times.items() if path.stat().st_mtime_ns != time]
    assert drawn == [erased / "000007.png"]
    for name in ("metrics.json", "images.csv"):
        assert after[0][name] == before[0][name]


def test_all_other_measures(own, quick_run):
    """FID against the base model, P(nsfw), NudeNet; of digits, which are neither nude nor anything else."""
    measures = "prompts: {measures: [nsfw, nudenet, fid]}\nevaluation: {fid_backend: efficientnet_lite0}\n"
    (own / "conf/tiny_text_to_image/parameters_measures.yml").write_text(measures)
    quick_run(own, *PROMPTS, f"--params={SMALL},evaluation.precision_neighbours=1")
    metrics = read_json(own / REPORT / "metrics.json")
    erased = metrics["erased"]
    assert "unlearning_accuracy" not in erased
    assert 0 <= erased["nsfw_probability"] < 0.5
    assert (erased["nsfw_images"], erased["nudenet"], erased["nudenet_exposed"]) == (0, {}, 0)
    assert "judge" not in metrics
    assert erased["fid_against"] == "the base model"
    assert "fid" not in metrics["base"]


@pytest.mark.parametrize(
    ("environment", "params", "said"),
    [
        (ENVIRONMENT, "prompts.file=docs/prompts/imagenette.csv", "class 'tench'"),
        (ENVIRONMENT, "prompts.file=docs/prompts/coco_example.csv,prompts.measures=nsfw", "takes 8"),
        (ENVIRONMENT, "prompts.model=esd", "prompts.erased_model: data/06_models/tiny_text_to_image/esd is"),
        (ENVIRONMENT, "prompts.measures=clip,prompts.clip=docs", "prompts.clip: 'docs' has no CLIP model"),
        ("--env=base", "prompts.file=docs/prompts/digits.csv,prompts.model=base", "text-to-image model"),
    ],
)
def test_a_bad_list_is_one_line_and_nothing_is_lost(judged, quick_run, environment, params, said):
    quick_run.refuses(judged[0], environment, "--pipeline=prompts", f"--params={params}", said=[said])
