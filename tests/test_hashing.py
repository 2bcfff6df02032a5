import copy

import numpy as np
import pytest
import torch
from torch import nn

from erasediff_pipeline import hashing
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.hashing import hash_images, hash_source, hash_weights, imported_by


def make(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_same_weights_same_hash():
    assert hash_weights(make()) == hash_weights(copy.deepcopy(make()))


def test_one_bit_changes_the_hash():
    model = make()
    before = hash_weights(model)
    with torch.no_grad():
        weight = model[0].weight
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(torch.inf))
    assert hash_weights(model) != before


def test_buffers_count():
    model = make()
    before = hash_weights(model)
    model[1].running_mean += 1
    assert hash_weights(model) != before


def test_names_and_shapes_count():
    table = nn.Parameter(torch.arange(6.0))
    flat, square, renamed = nn.Module(), nn.Module(), nn.Module()
    flat.w, square.w, renamed.v = table, nn.Parameter(table.detach().view(2, 3)), table
    assert len({hash_weights(module) for module in (flat, square, renamed)}) == 3


def images(shape=(3, 1, 2, 2), labels=(0, 1, 1), changed=0):
    pixels = np.arange(12, dtype=np.uint8)
    pixels[-1] += changed
    return LabelledImages(pixels.reshape(shape), np.array(labels))


def test_same_images_same_hash():
    assert hash_images(images()) == hash_images(images())
    backwards = images().select(np.array([2, 1, 0]))
    assert hash_images(backwards.select(np.array([2, 1, 0]))) == hash_images(images())


def test_pixels_labels_order_and_shape_count():
    different = [
        images(),
        images(changed=1),
        images(labels=(0, 1, 2)),
        images().select(np.array([0, 2, 1])),
        images(shape=(3, 2, 1, 2)),
        images().select(np.array([0, 1])),
    ]
    assert len({hash_images(each) for each in different}) == len(different)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """``loop`` imports ``models.unet``, which imports ``seeding``; nobody imports ``report``."""
    files = {
        "loop": "import torch\nfrom project.models import unet\nfrom project.config import Settings\n",
        "models/__init__": "",
        "models/unet": "def build():\n    from project.seeding import make_generator\n",
        "seeding": "import hashlib\nfrom project.loop import train\n",
        "config": "class Settings: ...\n",
        "report": "from project.loop import train\n",
    }
    root = tmp_path / "project"
    (root / "models").mkdir(parents=True)
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    monkeypatch.setattr(hashing, "SOURCE", root)
    monkeypatch.setattr(hashing, "PACKAGE", "project")
    return root


def test_what_a_module_imports(package):
    assert imported_by("project.loop") == {
        "project.loop",
        "project.models",
        "project.models.unet",
        "project.seeding",
    }


@pytest.mark.parametrize(
    ("changed", "counts"),
    [("loop", True), ("models/unet", True), ("seeding", True), ("config", False), ("report", False)],
)
def test_the_code_that_is_imported_counts(package, changed, counts):
    before = hash_source("project.loop")
    assert hash_source("project.loop") == before
    (package / f"{changed}.py").open("a").write("name = None\n")
    assert (hash_source("project.loop") != before) is counts


def test_settings_count_where_they_are_named(package):
    before = hash_source("project.loop", "project.config")
    (package / "config.py").open("a").write("name = None\n")
    assert hash_source("project.loop", "project.config") != before


def test_prose_does_not_count(package):
    before = hash_source("project.loop")
    source = (package / "seeding.py").read_text()
    comments = f'"""A module,\n\nof two lines."""\n# Why.\n\n{source.rstrip()}  # how\n'
    (package / "seeding.py").write_text(comments)
    assert hash_source("project.loop") == before
    (package / "seeding.py").write_text(f'{source}text = "# no comment"\n')
    first = hash_source("project.loop")
    (package / "seeding.py").write_text(f'{source}text = "# no command"\n')
    assert len({before, first, hash_source("project.loop")}) == 3


def test_single_functions_count_by_their_text():
    def one():
        """Its docstring."""
        return 1

    def two():
        return 2

    assert hash_source(one) == hash_source(one)
    assert len({hash_source(), hash_source(one), hash_source(two), hash_source(one, two)}) == 4


def test_one_method_does_not_count_for_another():
    """So the retrained model, the dearest, stays when EraseDiff is worked on."""
    code = imported_by("erasediff_pipeline.unlearning.loop", "erasediff_pipeline.unlearning.retrain")
    assert {"erasediff_pipeline.unlearning.denoising", "erasediff_pipeline.diffusion.model"} <= code
    assert not {name for name in code if name.endswith((".erasediff", ".registry", ".esd", ".nodes"))}
