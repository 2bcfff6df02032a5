"""The environments of the published data sets, as far as a machine without a GPU can go."""

import yaml

from tests.data.test_published import write_cifar
from tests.helpers.project import TINY, copy_clone, read_json


def test_cifar10_from_its_archive_to_a_model_that_has_forgotten(project, tmp_path, quick_run):
    """The published settings but for sizes and lengths: attention, EMA, target, ResNet and all."""
    own = copy_clone(project, tmp_path / "project")
    folder = tmp_path / "archive"
    folder.mkdir()
    write_cifar(folder, "cifar10", 40)
    file = own / "conf/cifar10/parameters.yml"
    settings = yaml.safe_load(file.read_text())
    small = TINY | {
        "denoiser": {"channels": [8, 16, 16, 16], "layers_per_block": 1},
        "classifier": {"architecture": "resnet18", "epochs": 1, "min_test_accuracy": 0.0},
        "pretrain": {"steps": 2, "batch_size": 8},
        "unlearn": {"steps": 2, "batch_size": 8},
    }
    for section, values in small.items():
        settings[section] = settings.get(section, {}) | values
    file.write_text(yaml.safe_dump(settings))

    quick_run(own, "--env=cifar10", "--pipeline=prepare", f"--params=source.path={folder}")
    for pipeline in ("pretrain", "unlearn"):
        quick_run(own, "--env=cifar10", f"--pipeline={pipeline}")
    judge = read_json(own / "data/06_models/cifar10/classifier/config.json")
    assert (judge["_class_name"], judge["architecture"]) == ("ResNetClassifier", "resnet18")
    unet = read_json(own / "data/06_models/cifar10/base/unet/config.json")
    assert unet["down_block_types"] == ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"]
    metrics = read_json(own / "data/08_reporting/cifar10/erasediff/metrics.json")
    assert metrics["forget"]["classes"] == [0]
    assert metrics["erased"]["forget_samples"] == 8
