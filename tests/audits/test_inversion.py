import torch

from erasediff_pipeline.audits.inversion import _list_starts, invert
from erasediff_pipeline.config import InversionSettings

SETTINGS = InversionSettings(steps=300, restarts=2, batch_size=30, learning_rate=0.05)


def run(model, toy_images, measure, tmp_path, seed=0):
    images = toy_images.select(toy_images.labels == 1)
    retained = torch.tensor([0, 2])
    return invert(model, images, retained, measure, SETTINGS, seed, tmp_path / "checkpoint")


def test_it_finds_the_embedding_that_denoises_best(linear_model, toy_images, tmp_path):
    """With W = 0 the loss is E‖ε − e‖², which is least, 1, where e is the mean of ε: zero."""
    model = linear_model(shape=(1, 8, 8))
    with torch.no_grad():
        model.weight.zero_()
    found = []
    table = run(model, toy_images, lambda attack: found.append(attack.embedding.detach()) or 0.25, tmp_path)
    assert table["start"].tolist() == ["own", "random 1", "random 2"]
    assert (table["forget_accuracy"] == 0.25).all()
    for embedding in found:
        assert embedding.abs().mean() < 0.1
    assert model.bias[1].abs().mean() > 0.5
    assert (table["loss"] - 1).abs().max() < 0.15


def test_the_weights_stay(linear_model, toy_images, tmp_path):
    model = linear_model(shape=(1, 8, 8))
    before = {name: p.clone() for name, p in model.named_parameters()}
    run(model, toy_images, lambda attack: 0.0, tmp_path)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_starts_repeat_and_differ(linear_model, toy_images):
    model = linear_model(shape=(1, 8, 8))
    images = toy_images.select(toy_images.labels == 1)
    first, again = (_list_starts(model, images, torch.tensor([0, 2]), 2, seed) for seed in (0, 0))
    assert torch.equal(first["own"], model.bias[1])
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["random 1"], first["random 2"])
    other = _list_starts(model, images, torch.tensor([0, 2]), 2, 1)
    assert not torch.equal(first["random 1"], other["random 1"])
