import copy
import hashlib

import numpy as np
import torch
from torch import nn

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.hashing import hash_files, hash_images, hash_weights


def make(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_same_weights_same_hash():
    assert hash_weights(make()) == hash_weights(copy.deepcopy(make()))


def test_one_bit_and_buffers_change_the_hash():
    models = make(), make(), make()
    weight = models[1][0].weight.data
    weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(torch.inf))
    models[2][1].running_mean += 1
    assert len({hash_weights(model) for model in models}) == 3


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
    different = [images(), images(changed=1), images(labels=(0, 1, 2)), images(shape=(3, 2, 1, 2))]
    different += [images().select(np.array(rows)) for rows in ([0, 2, 1], [0, 1])]
    assert len({hash_images(each) for each in different}) == 6


def test_every_file_of_a_folder_has_the_hash_that_sha256sum_prints(tmp_path):
    (tmp_path / "unet").mkdir()
    names = (".a", "unet/b")
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    assert hash_files(tmp_path) == {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
