import copy

import torch
from torch import nn

from erasediff_pipeline.hashing import hash_weights


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
