import pytest
import torch

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.pipelines import unlearn
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.registry import METHODS
from erasediff_pipeline.unlearning.retrain import Retrain
from tests.helpers.by_hand import Step, assert_update
from tests.helpers.runs import run, small, weights_of


def prepare(model, data, seed=0):
    Retrain(PretrainSettings(**small())).prepare(model, data, FeatureStore(), seed)
    return model


def moved(model):
    """The model with a mark on each weight."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1000)
    return model


def test_update_is_the_gradient_of_the_retain_loss(linear_model, alpha_bar):
    for seed in range(5):
        step = Step(linear_model(seed), Retrain(PretrainSettings()), alpha_bar, seed)
        loss, gradient = step.retain_loss()
        assert_update(step, gradient)
        assert step.scalars == {"loss": pytest.approx(loss, rel=1e-4)}
        assert [len(call.x_t) for call in step.calls] == [6]


def test_nothing_of_the_base_weights_is_left(unet_model, data):
    model = prepare(moved(unet_model()), data)
    assert all(p.abs().max() < 10 for p in model.parameters())


def test_same_seed_same_weights_whatever_the_base_model(unet_model, data):
    first, second = prepare(unet_model(seed=1), data), prepare(moved(unet_model(seed=2)), data)
    assert weights_of(first) == weights_of(second)


def test_other_seed_other_weights(unet_model, data):
    first, second = (prepare(unet_model(), data, seed) for seed in (0, 1))
    same = [name for name, p in weights_of(first).items() if weights_of(second)[name] == p]
    assert {name.rsplit(".", 2)[1].rstrip("12") for name in same} <= {"norm", "group_norm", "conv_norm_out"}


def test_start_is_not_that_of_the_base_model(unet_model, data):
    """The same top-level seed rules both."""
    assert weights_of(prepare(unet_model(seed=0), data, seed=0)) != weights_of(unet_model(seed=0))


def test_global_generator_is_left_alone(unet_model, data):
    model = unet_model()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    prepare(model, data)
    assert torch.equal(torch.get_rng_state(), state)


def test_trained_result_does_not_depend_on_the_base_model(unet_model, data, tmp_path):
    first, second = unet_model(seed=1), moved(unet_model(seed=2))
    for model in (first, second):
        run("retrain", model, data, tmp_path / "c", steps=3)
    assert weights_of(first) == weights_of(second)


def test_trained_result_does_not_depend_on_the_forget_set(unet_model, data, tmp_path):
    first, second = unet_model(), unet_model()
    run("retrain", first, data, tmp_path / "c", steps=3)
    run(
        "retrain", second, TrainingData(data.retain, data.forget.select(slice(0, 2))), tmp_path / "c", steps=3
    )
    assert weights_of(first) == weights_of(second)


def test_settings_are_those_of_pretraining():
    """Else the gold standard would be another model, not the same one without the forget set."""
    (erase,) = (node for node in unlearn.create_pipeline("retrain").nodes if node.name.endswith("erase"))
    assert "params:pretrain" in erase.inputs
    assert METHODS["retrain"].settings is PretrainSettings
