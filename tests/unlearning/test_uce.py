import numpy as np
import pytest
import torch

from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.loop import edit
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.unlearning.uce import Uce, UceSettings, _occurs_in, _transfer
from tests.helpers.by_hand import images_of
from tests.helpers.runs import weights_of

PROMPTS = ["a photo of a cat", "a photo of a dog", "a photo of a cow", "an animal"]
CAT, DOG, COW, ANIMAL = range(4)


@pytest.fixture
def model(text_model):
    return text_model(PROMPTS)


def data_of(forget=(DOG,), retain=(CAT, COW), anchor=ANIMAL):
    images = [images_of([*labels], (3, 16, 16)) for labels in (retain, forget)]
    return TrainingData(retain=images[0], forget=images[1], anchor=anchor)


def embed(model, number):
    """A prompt's embedding, ``[L, D]``."""
    return model.condition(torch.tensor([number]))["prompt_embeds"][0]


def projections(model):
    return {n: p for n, p in model.trainable("xattn").items() if n.endswith(("to_k.weight", "to_v.weight"))}


def test_transfer_is_the_minimum_of_the_objective():
    """Against numpy's least squares of the same sum of squares, row by row."""
    rng = np.random.default_rng(0)
    c, a, kept = (rng.normal(size=(n, 4)) for n in (3, 3, 7))
    weight = rng.normal(size=(5, 4))
    p, r = 2.0, 0.1
    found = weight @ _transfer(*map(torch.tensor, (c, a, kept)), p, r).numpy()
    scale = (r * (kept**2).mean()) ** 0.5
    blocks = [(c, a, 3**-0.5), (kept, kept, (p / 7) ** 0.5), (np.eye(4), np.eye(4), scale)]
    inputs = np.concatenate([w * x for x, _, w in blocks])
    targets = np.concatenate([w * y @ weight.T for _, y, w in blocks])
    np.testing.assert_allclose(found, np.linalg.lstsq(inputs, targets, rcond=None)[0].T, atol=1e-10)


def test_the_word_becomes_the_anchor_and_the_rest_stays(model):
    before = {name: weight.detach().clone() for name, weight in projections(model).items()}
    edited, old_bytes = {id(p) for p in projections(model).values()}, weights_of(model)
    others = {name for name, p in model.named_parameters() if id(p) not in edited}
    history, cost = edit(model, Uce(UceSettings(ridge=1e-6)), data_of())
    assert history[0]["weight_change"] > 0
    assert (cost.steps, cost.denoiser_evaluations) == (0, 0)
    assert {name for name, value in weights_of(model).items() if value == old_bytes[name]} == others
    dog, anchor, cat = (embed(model, n)[-1] for n in (DOG, ANIMAL, CAT))
    for name, weight in projections(model).items():
        old = before[name]
        gap = (old @ dog - old @ anchor).norm()
        assert (weight @ dog - old @ anchor).norm() < 0.3 * gap, name
        assert (weight @ cat - old @ cat).norm() < 0.3 * gap, name


def test_what_comes_before_the_word_is_in_retained_prompts_too(model):
    """As many tokens as make a matrix product of the distances, which would not find them equal."""
    dog, cat = (embed(model, n) for n in (DOG, CAT))
    others = torch.cat([cat, torch.randn(40, cat.shape[1])])
    common = _occurs_in(torch.cat([dog] * 3), others)
    ids = [model.pipeline.tokenizer(PROMPTS[n]).input_ids for n in (DOG, CAT)]
    before = next(i for i, (one, two) in enumerate(zip(*ids, strict=False)) if one != two)
    assert before >= 4
    assert common.tolist() == ([True] * before + [False] * (len(dog) - before)) * 3


def test_without_an_anchor_the_empty_prompt_is_it(text_model):
    models = [text_model([*PROMPTS, ""]) for _ in range(2)]
    for model, anchor in zip(models, (None, len(PROMPTS)), strict=True):
        Uce(UceSettings()).edit(model, data_of(anchor=anchor))
    for one, two in zip(*(projections(model).values() for model in models), strict=True):
        torch.testing.assert_close(one, two)


def test_a_model_that_is_asked_by_class_and_a_prompt_that_is_kept_are_refused(unet_model, model):
    with pytest.raises(InvalidRequest, match="edits the cross-attention to a text, and this model has none"):
        Uce(UceSettings()).edit(unet_model(), data_of(forget=[0], retain=[1, 2], anchor=None))
    with pytest.raises(InvalidRequest, match="is also retained"):
        Uce(UceSettings()).edit(model, data_of(forget=[DOG], retain=[DOG, CAT]))
