"""The environments of the published data sets, as far as a machine without a GPU can go."""

import gzip
import struct

import numpy as np
import pytest

from erasediff_pipeline.data.published import DEBIAN
from tests.helpers.archives import write_cifar, write_idx
from tests.helpers.project import ENABLE, QUICK, TINY, read_json


def test_cifar10_from_its_archive_to_a_model_that_has_forgotten(own, edit, tmp_path, quick_run):
    """The published settings but for sizes and lengths: attention, EMA, target, ResNet and all."""
    write_cifar(tmp_path, "cifar10", 40)
    small = TINY | {
        "denoiser": {"channels": [8, 16, 16, 16], "layers_per_block": 1},
        "classifier": {"architecture": "resnet18", "epochs": 1, "min_test_accuracy": 0.0},
        "pretrain": {"steps": 2, "batch_size": 8},
        "unlearn": {"steps": 2, "batch_size": 8},
    }
    edit(own / "conf/cifar10/parameters.yml", small)

    quick_run(own, "--env=cifar10", "--pipeline=prepare", f"--params=source.path={tmp_path}")
    for pipeline in ("pretrain", "unlearn"):
        quick_run(own, "--env=cifar10", f"--pipeline={pipeline}")
    judge = read_json(own / "data/06_models/cifar10/classifier/config.json")
    assert (judge["_class_name"], judge["architecture"]) == ("ResNetClassifier", "resnet18")
    unet = read_json(own / "data/06_models/cifar10/base/unet/config.json")
    assert unet["down_block_types"] == ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"]
    metrics = read_json(own / "data/08_reporting/cifar10/erasediff/metrics.json")
    assert metrics["forget"]["classes"] == [0]
    assert metrics["erased"]["forget_samples"] == 8


def read_idx(file):
    with gzip.open(file) as source:
        dimensions = struct.unpack(">BBBB", source.read(4))[3]
        shape = struct.unpack(f">{dimensions}I", source.read(4 * dimensions))
        return np.frombuffer(source.read(), np.uint8).reshape(shape)


@pytest.mark.skipif(not DEBIAN.exists(), reason=f"Fashion-MNIST is not installed: {ENABLE}")
def test_a_class_of_fashion_mnist_is_erased_from_the_model_that_was_pulled(own, tmp_path, quick_run):
    """Of the first 2,000 and 500 of the real images, where ``source.path`` can name them."""
    for split, count in (("train", 2000), ("t10k", 500)):
        for kind in ("images-idx3", "labels-idx1"):
            name = f"{split}-{kind}-ubyte"
            write_idx(tmp_path / "FashionMNIST/raw" / name, read_idx(DEBIAN / f"{name}.gz")[:count])
    run = quick_run(own, "--env=fashion_mnist", "--pipeline=prepare", f"--params=source.path={tmp_path}")
    assert "class 9 is 'Ankle boot'" in " ".join(run.output.split())
    quick = QUICK.replace("sampling.steps=3", "sampling.steps=10")
    quick_run(own, "--env=fashion_mnist", "--pipeline=unlearn", f"--params={quick},forget.classes=8")
    metrics = read_json(own / "data/08_reporting/fashion_mnist/erasediff/metrics.json")
    assert metrics["base"]["forget_accuracy"] >= 0.8  # the model knows bags, and the judge sees them
    assert metrics["base"]["retain_accuracy"] >= 0.8
    assert metrics["base"]["real_images"] == metrics["forget"]["retain_images"]
