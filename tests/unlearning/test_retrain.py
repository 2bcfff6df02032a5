import torch

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.pipelines import unlearn
from erasediff_pipeline.unlearning.registry import METHODS
from tests.helpers.runs import prepared, run, weights_of


def prepare(model, data, seed=0):
    prepared("retrain", model, data, seed=seed)
    return model


def moved(model):
    """The model with a mark on each weight."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1000)
    return model


def test_start_has_nothing_of_the_base_model(unet_model, data):
    first, second = prepare(unet_model(seed=1), data), prepare(moved(unet_model(seed=2)), data)
    assert all(p.abs().max() < 10 for p in second.parameters())
    assert weights_of(first) == weights_of(second)


def test_other_seed_other_weights(unet_model, data):
    first, second = (weights_of(prepare(unet_model(), data, seed)) for seed in (0, 1))
    same = [name for name in first if first[name] == second[name]]
    assert {name.rsplit(".", 2)[1].rstrip("12") for name in same} <= {"norm", "group_norm", "conv_norm_out"}


def test_start_is_not_that_of_the_base_model(unet_model, data):
    """The same top-level seed rules both."""
    assert weights_of(prepare(unet_model(seed=0), data, seed=0)) != weights_of(unet_model(seed=0))


def test_trained_result_does_not_depend_on_the_base_model(unet_model, data):
    first, second = unet_model(seed=1), moved(unet_model(seed=2))
    for model in (first, second):
        run("retrain", model, data, steps=3)
    assert weights_of(first) == weights_of(second)


def test_settings_are_those_of_pretraining():
    """Else the gold standard would be another model, not the same one without the forget set."""
    (erase,) = (node for node in unlearn.create_pipeline("retrain").nodes if node.name.endswith("erase"))
    assert "params:pretrain" in erase.inputs
    assert METHODS["retrain"].settings is PretrainSettings
