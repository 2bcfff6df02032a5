"""``image_folder`` and ``image_folder_small``: images of one's own, without a line of code."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.helpers.project import QUICK, copy_clone, dvc, git, hash_tree, read_json

ENVIRONMENT = "--env=image_folder"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes of stripes in colour, of two sizes, and a file that is no image."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for channel, name in enumerate(["apples", "grass", "sky"]):
        (root / name).mkdir()
        for number in range(20):
            pixels = rng.integers(0, 60, (40 if number % 2 else 36, 36, 3), dtype=np.uint8)
            pixels[..., channel] += 180
            Image.fromarray(pixels).save(root / name / f"{number:02d}.png")
    (root / "apples/notes.txt").write_text("no image")
    return root


@pytest.fixture(scope="module")
def own(project, edit, tmp_path_factory):
    """A project with settings of its own, small ones."""
    target = copy_clone(project, tmp_path_factory.mktemp("image folder") / "project")
    small = {"denoiser": {"channels": [8, 16], "attention": [16]}, "pretrain": {"steps": 2, "batch_size": 8}}
    for environment, epochs in (("image_folder", 10), ("image_folder_small", 20)):
        small["classifier"] = {"epochs": epochs, "batch_size": 10}
        edit(target / "conf" / environment / "parameters.yml", small)
    return target


@pytest.mark.parametrize(("environment", "side"), [("image_folder", 32), ("image_folder_small", 16)])
def test_from_a_folder_to_a_model_that_has_forgotten(own, folder, quick_run, environment, side):
    option, data = f"--env={environment}", own / "data"
    run = quick_run(own, option, "--pipeline=prepare", f"--params=source.path={folder}")
    assert "class 1 is 'grass': 16 images to train on, 4 unseen" in " ".join(run.output.split())
    report = read_json(data / f"08_reporting/{environment}/source.json")
    assert report["sizes"] == {"36×36": 30, "36×40": 30}
    assert list(report["skipped"]) == ["apples/notes.txt"]
    assert [row["name"] for row in report["classes"]] == ["apples", "grass", "sky"]
    manifest = pd.read_parquet(data / f"03_primary/{environment}/manifest.parquet")
    assert len(manifest) == report["images"] == 60
    images = np.load(data / f"03_primary/{environment}/images/images.npy", mmap_mode="r")
    assert images.shape == (60, 3, side, side)

    quick_run(own, option, "--pipeline=pretrain")
    run = quick_run(own, option, "--pipeline=unlearn", f"--params={QUICK},forget.classes=sky")
    assert "erasediff: forget class 2 sky (16 images)" in " ".join(run.output.split())
    metrics = read_json(data / f"08_reporting/{environment}/erasediff/metrics.json")
    assert (metrics["forget"]["classes"], metrics["forget"]["forget_images"]) == ([2], 16)
    assert 0 <= metrics["erased"]["forget_accuracy"] <= 1
    for page in ("08_reporting/{}/erasediff/report.html", "06_models/{}/erasediff/README.md"):
        assert "class 2 sky (16 images)" in (data / page.format(environment)).read_text()


def test_what_was_prepared_goes_through_dvc(own, folder, quick_run, tmp_path):
    """As docs/howto/images.md says, to a remote of one's own, and out of it in a fresh clone."""
    project, kept = copy_clone(own, tmp_path / "project"), "data/03_primary/image_folder"
    quick_run(project, ENVIRONMENT, "--pipeline=prepare", f"--params=source.path={folder}")
    places = [f"{kept}/images", f"{kept}/manifest.parquet"]
    files = [f"{place}.dvc" for place in places]
    dvc(project, "remote", "add", "mine", tmp_path / "remote")
    dvc(project, "add", *places)
    dvc(project, "push", "-r", "mine", *files)
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "our images")
    assert not any(name.startswith(places[0] + "/") for name in git(project, "ls-files").splitlines())
    git(tmp_path, "clone", "--quiet", str(project), "fresh")
    fresh = tmp_path / "fresh"
    dvc(fresh, "pull", "-r", "mine", *files)
    dvc(fresh, "pull", "data/06_models/base")  # from where it was
    assert hash_tree(fresh / kept / "images") == hash_tree(project / kept / "images") != {}


@pytest.mark.parametrize(
    ("path", "said"), [("null", ["null"]), ("nowhere", ["nowhere", "<path>/<class>/<file>"])]
)
def test_without_a_folder_one_line_says_so(own, quick_run, path, said):
    said = ["source.path", *said]
    quick_run.refuses(own, ENVIRONMENT, "--pipeline=prepare", f"--params=source.path={path}", said=said)
