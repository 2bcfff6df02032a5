import pytest
import torch

from erasediff_pipeline.audits.inversion import DOUBLED, _list_starts, invert
from erasediff_pipeline.config import InversionSettings

SETTINGS = InversionSettings(steps=300, restarts=2, batch_size=30, learning_rate=0.05)


RETAINED = torch.tensor([0, 2])


@pytest.fixture
def images(toy_images):
    return toy_images.select(toy_images.labels == 1)


def test_it_finds_the_embedding_that_denoises_best_and_the_weights_stay(linear_model, images, tmp_path):
    """With W = 0 the loss is E‖ε − e‖², which is least, 1, where e is the mean of ε: zero."""
    model = linear_model(shape=(1, 8, 8))
    with torch.no_grad():
        model.weight.zero_()
    before, found = {name: p.clone() for name, p in model.named_parameters()}, []
    measure = lambda attack: found.append(attack.embedding["table 0"].detach().clone()) or 0.25  # noqa: E731
    table = invert(model, images, RETAINED, measure, SETTINGS, 0, tmp_path / "checkpoint")
    assert table["start"].tolist() == ["own", "random 1", "random 2", DOUBLED]
    assert (table["forget_accuracy"] == 0.25).all()
    for embedding in found:
        assert embedding.abs().mean() < 0.1
    assert model.bias[1].abs().mean() > 0.5
    assert (table["loss"] - 1).abs().max() < 0.15

    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_the_best_start_runs_again_with_twice_the_steps(linear_model, images, tmp_path):
    """The second is the best; each is measured once."""
    model, shares, seen = linear_model(shape=(1, 8, 8)), iter([0.1, 0.4, 0.2, 0.9]), []
    measure = lambda attack: seen.append(attack.embedding["table 0"].detach().clone()) or next(shares)  # noqa: E731
    few = SETTINGS.model_copy(update={"steps": 1, "schedule": "constant"})
    table = invert(model, images, RETAINED, measure, few, 0, tmp_path / "checkpoint")
    assert table["forget_accuracy"].tolist() == [0.1, 0.4, 0.2, 0.9]
    apart = [float((seen[3] - other).abs().max()) for other in seen[:3]]
    assert min(apart) == apart[1] == pytest.approx(SETTINGS.learning_rate, rel=0.5)


def test_starts_repeat_and_differ(linear_model, images):
    model = linear_model(shape=(1, 8, 8))
    starts = (_list_starts(model, images, RETAINED, 2, seed) for seed in (0, 0, 1))
    first, again, other = ({name: e["table 0"] for name, e in found.items()} for found in starts)
    assert torch.equal(first["own"], model.bias[1])
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["random 1"], first["random 2"])
    assert not torch.equal(first["random 1"], other["random 1"])
