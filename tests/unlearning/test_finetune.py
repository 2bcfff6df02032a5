import pytest

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.unlearning.finetune import Finetune, FinetuneSettings
from tests.helpers.by_hand import NULL, Step, assert_update, batches, flat, generator
from tests.helpers.runs import run, weights_of


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_update_is_the_gradient_of_the_retain_loss(linear_model, alpha_bar, dropout):
    for seed in range(5):
        step = Step(
            linear_model(seed), Finetune(FinetuneSettings(condition_dropout=dropout)), alpha_bar, seed
        )
        loss, gradient = step.retain_loss()
        assert_update(step, gradient)
        assert step.scalars == {"loss": pytest.approx(loss, rel=1e-4)}


def test_condition_is_dropped_now_and_then(linear_model, alpha_bar):
    method = Finetune(FinetuneSettings(condition_dropout=0.1))
    steps = [Step(linear_model(), method, alpha_bar, seed) for seed in range(40)]
    conditions = [c for step in steps for c in step.retain.c.tolist()]
    assert set(conditions) == {1, 2, NULL}
    assert 0.05 < conditions.count(NULL) / len(conditions) < 0.2


def test_forget_batch_is_not_read(linear_model):
    with_it, without = linear_model(), linear_model()
    forget, retain = batches(0)
    for model, batch in ((with_it, forget), (without, None)):
        Finetune(FinetuneSettings()).gradients(model, batch, retain, generator())
        assert [len(call.x_t) for call in model.calls] == [6]
    first, second = (flat([p.grad for p in model.parameters()]) for model in (with_it, without))
    assert first.tobytes() == second.tobytes()


def test_forget_set_does_not_change_the_result(unet_model, data, tmp_path):
    shifted = LabelledImages(255 - data.forget.images, data.forget.labels)
    models = []
    for forget in (data.forget, shifted):
        models.append(unet_model())
        run("finetune", models[-1], TrainingData(data.retain, forget), tmp_path / "c", steps=2)
    assert weights_of(models[0]) == weights_of(models[1])


def test_training_starts_from_the_base_model(unet_model, data, tmp_path):
    """A rate that is as good as zero leaves the weights where they were."""
    model, base = unet_model(), unet_model()
    run("finetune", model, data, tmp_path / "c", steps=1, learning_rate=1e-12)
    for p, start in zip(model.parameters(), base.parameters(), strict=True):
        assert (p - start).abs().max() < 1e-6
