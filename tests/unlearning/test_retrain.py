import torch

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.pipelines import unlearn
from erasediff_pipeline.unlearning.registry import METHODS
from tests.helpers.runs import prepared, run, weights_of


def test_start_differs_by_seed_and_from_that_of_the_base_model(unet_model, data):
    """The same top-level seed rules both models."""
    base, first, second = (unet_model() for _ in range(3))
    for seed, model in enumerate((first, second)):
        prepared("retrain", model, data, seed=seed)
    start = weights_of(first)
    for other in map(weights_of, (second, base)):
        same = {name.rsplit(".", 2)[1].rstrip("12") for name in start if start[name] == other[name]}
        assert same <= {"norm", "group_norm", "conv_norm_out"}


def test_trained_result_does_not_depend_on_the_base_model(unet_model, data):
    """Nothing is left of one that has a mark on each weight."""
    first, second = unet_model(seed=1), unet_model(seed=2)
    with torch.no_grad():
        for p in second.parameters():
            p.add_(1000)
    for model in (first, second):
        run("retrain", model, data, steps=3)
    assert weights_of(first) == weights_of(second)
    assert all(p.abs().max() < 10 for p in second.parameters())


def test_settings_are_those_of_pretraining():
    """Else the gold standard would be another model, not the same one without the forget set."""
    (erase,) = (node for node in unlearn.create_pipeline("retrain").nodes if node.name.endswith("erase"))
    assert "params:pretrain" in erase.inputs
    assert METHODS["retrain"].settings is PretrainSettings
