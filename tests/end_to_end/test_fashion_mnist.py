"""The environment ``fashion_mnist``: the model of the reference store on a part of the real images."""

import gzip
import struct

import numpy as np
import pytest

from erasediff_pipeline.data.published import DEBIAN
from tests.data.test_published import write_idx
from tests.helpers.project import ENABLE, QUICK, copy_clone, read_json

pytestmark = pytest.mark.skipif(not DEBIAN.exists(), reason=f"Fashion-MNIST is not installed: {ENABLE}")


def read_idx(file):
    with gzip.open(file) as source:
        dimensions = struct.unpack(">BBBB", source.read(4))[3]
        shape = struct.unpack(f">{dimensions}I", source.read(4 * dimensions))
        return np.frombuffer(source.read(), np.uint8).reshape(shape)


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """The first 2,000 and 500 of the real images, where ``source.path`` can name them."""
    root = tmp_path_factory.mktemp("fashion")
    for split, count in (("train", 2000), ("t10k", 500)):
        for kind in ("images-idx3", "labels-idx1"):
            name = f"{split}-{kind}-ubyte"
            write_idx(root / "FashionMNIST/raw" / name, read_idx(DEBIAN / f"{name}.gz")[:count])
    return root


def test_a_class_is_erased_from_the_model_that_was_pulled(project, part, tmp_path, quick_run):
    own = copy_clone(project, tmp_path / "project")
    run = quick_run(own, "--env=fashion_mnist", "--pipeline=prepare", f"--params=source.path={part}")
    assert "class 9 is 'Ankle boot'" in " ".join(run.output.split())
    quick = QUICK.replace("sampling.steps=3", "sampling.steps=10")
    run = quick_run(own, "--env=fashion_mnist", "--pipeline=unlearn", f"--params={quick},forget.classes=8")
    metrics = read_json(own / "data/08_reporting/fashion_mnist/erasediff/metrics.json")
    assert metrics["base"]["forget_accuracy"] >= 0.8  # the model knows bags, and the judge sees them
    assert metrics["base"]["retain_accuracy"] >= 0.8
    assert metrics["base"]["real_images"] == metrics["forget"]["retain_images"]
