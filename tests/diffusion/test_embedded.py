import pytest
import torch

from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.embedded import Embedded, embeddings_apart, null_of
from erasediff_pipeline.diffusion.sampling import sample_batch
from erasediff_pipeline.seeding import make_generator

SETTINGS = SamplingSettings(steps=3)


def draw(model, label):
    generators = [make_generator(0, "sample", i) for i in range(2)]
    return sample_batch(model.eval(), torch.tensor([label, label]), generators, SETTINGS)


@pytest.fixture(params=["classes", "prompts"])
def model(request, unet_model, text_model):
    return unet_model() if request.param == "classes" else text_model(["a cat", "a dog", "a photo of a cat"])


def test_under_a_conditions_own_embedding_it_is_the_model(model):
    own = model.embed_condition(model.condition(torch.tensor([1])))[0]
    embedded = Embedded(model, own)
    x_t, t = (
        torch.randn(2, *model.sample_shape, generator=torch.Generator().manual_seed(0)),
        torch.tensor([5, 700]),
    )
    with torch.no_grad():
        expected = model.denoise(x_t, t, model.condition(torch.tensor([1, 1])))
        torch.testing.assert_close(
            embedded.denoise(x_t, t, embedded.condition(torch.tensor([0, 2]))), expected
        )
    assert (draw(embedded, 0).int() - draw(model, 1).int()).abs().max() <= 1
    assert (draw(embedded, 0) != draw(model, 0)).any()


def test_how_far_apart_conditions_lie_is_told_by_the_retained_ones(model):
    retained, forgotten = torch.tensor([0, 1]), torch.tensor([2])
    table = embeddings_apart(model, retained, forgotten)
    torch.testing.assert_close(table, model.embed_condition(model.condition(retained)))


def test_a_single_retained_condition_is_held_against_the_forgotten_one(model):
    table = embeddings_apart(model, torch.tensor([1]), torch.tensor([2]))
    assert len(table) == 2
    assert table.std(dim=0).max() > 0


def test_asked_for_nothing_guidance_changes_nothing(model):
    free = SETTINGS.model_copy(update={"guidance_scale": 0.0})
    nothing = null_of(model)
    generators = [make_generator(0, "sample", 0)]
    unguided = sample_batch(nothing.eval(), torch.tensor([0]), generators, free)
    generators = [make_generator(0, "sample", 0)]
    guided = sample_batch(nothing.eval(), torch.tensor([0]), generators, SETTINGS)
    assert (guided.int() - unguided.int()).abs().max() <= 1


def test_only_the_embedding_moves(model):
    embedded = Embedded(model, model.embed_condition(model.condition(torch.tensor([1])))[0])
    assert list(embedded.trainable("full")) == ["embedding"]
    x_t, t = torch.randn(2, *model.sample_shape), torch.tensor([5, 700])
    embedded.denoise(x_t, t, embedded.condition(torch.tensor([0, 0]))).square().sum().backward()
    assert embedded.embedding.grad.abs().sum() > 0
    assert embedded.image_shape == model.image_shape


def test_its_cost_is_counted(model):
    embedded = null_of(model)
    with torch.no_grad():
        x_t = torch.randn(3, *model.sample_shape)
        embedded.denoise(x_t, torch.tensor([1, 2, 3]), embedded.condition(torch.zeros(3)))
    assert embedded.evaluations == 3
