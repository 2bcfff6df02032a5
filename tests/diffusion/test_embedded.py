import pytest
import torch

from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.embedded import Embedded, spread_embeddings, without_condition
from erasediff_pipeline.diffusion.sampling import sample_batch
from erasediff_pipeline.seeding import make_generator

SETTINGS = SamplingSettings(steps=3)


def draw(model, label, **changes):
    generators = [make_generator(0, "sample", i) for i in range(2)]
    settings = SETTINGS.model_copy(update=changes)
    return sample_batch(model.eval(), torch.tensor([label, label]), generators, settings)


def embedded_as(model, label):
    return Embedded(model, model.embed_condition(model.condition(torch.tensor([label])))[0])


def denoise(model, labels):
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(2, *model.sample_shape, generator=generator)
    return model.denoise(x_t, torch.tensor([5, 700]), model.condition(torch.tensor(labels)))


@pytest.fixture(params=["classes", "prompts"])
def model(request, unet_model, text_model):
    return unet_model() if request.param == "classes" else text_model(["a cat", "a dog", "a photo of a cat"])


def test_under_a_conditions_own_embedding_it_is_the_model(model):
    embedded = embedded_as(model, 1)
    torch.testing.assert_close(denoise(embedded, [0, 2]), denoise(model, [1, 1]))
    assert (draw(embedded, 0).int() - draw(model, 1).int()).abs().max() <= 1
    assert (draw(embedded, 0) != draw(model, 0)).any()


def test_how_far_apart_conditions_lie_is_told_by_the_retained_ones(model):
    retained, forgotten = torch.tensor([0, 1]), torch.tensor([2])
    table = spread_embeddings(model, retained, forgotten)
    assert (table == model.embed_condition(model.condition(retained))).all()


def test_a_single_retained_condition_is_held_against_the_forgotten_one(model):
    table = spread_embeddings(model, torch.tensor([1]), torch.tensor([2]))
    assert len(table) == 2
    assert all(values.std(dim=0).max() > 0 for values in table.values())


def test_asked_for_nothing_guidance_changes_nothing(model):
    free = without_condition(model)
    unguided, guided = (draw(free, 0, **changes) for changes in ({"guidance_scale": 0.0}, {}))
    assert (guided.int() - unguided.int()).abs().max() <= 1


def test_only_the_embedding_moves(model):
    embedded = embedded_as(model, 1)
    (embedding,) = embedded.trainable("full").values()
    assert [p for p in embedded.parameters() if p is embedding]
    denoise(embedded, [0, 0]).square().sum().backward()
    assert embedding.grad.abs().sum() > 0
    assert embedded.image_shape == model.image_shape


def test_its_cost_is_counted(model):
    embedded = without_condition(model)
    denoise(embedded, [0, 0])
    assert embedded.evaluations == 2
