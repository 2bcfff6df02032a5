import pytest

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.training.method import TrainingData
from tests.helpers.by_hand import DATA, NULL, Step, assert_update
from tests.helpers.runs import prepared, run, weights_of


@pytest.mark.parametrize("name", ["finetune", "retrain"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_update_is_the_gradient_of_the_retain_loss(linear_model, alpha_bar, name, dropout):
    for seed in range(5):
        model = linear_model(seed)
        step = Step(model, prepared(name, model, DATA, condition_dropout=dropout), alpha_bar, seed)
        loss, gradient = step.retain_loss()
        assert_update(step, gradient)
        assert step.scalars == {"loss": pytest.approx(loss, rel=1e-4)}
        assert [len(call.x_t) for call in step.calls] == [6]


def test_condition_is_dropped_at_random(linear_model, alpha_bar):
    method = prepared("finetune", linear_model(), DATA, condition_dropout=0.1)
    steps = [Step(linear_model(), method, alpha_bar, seed) for seed in range(40)]
    conditions = [c for step in steps for c in step.retain.c.tolist()]
    assert set(conditions) == {1, 2, NULL}
    assert 0.05 < conditions.count(NULL) / len(conditions) < 0.2


@pytest.mark.parametrize("name", ["finetune", "retrain"])
def test_forget_set_does_not_change_the_result(unet_model, data, name):
    shifted = LabelledImages(255 - data.forget.images, data.forget.labels)
    models = []
    for forget in (data.forget, shifted, data.forget.select(slice(0, 2))):
        models.append(unet_model())
        run(name, models[-1], TrainingData(data.retain, forget), steps=2)
    assert weights_of(models[0]) == weights_of(models[1]) == weights_of(models[2])
