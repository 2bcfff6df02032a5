"""Memory of a step on the text-to-image model, by what torch allocates: the same on every machine."""

import torch

from erasediff_pipeline.config import DenoiserSettings
from erasediff_pipeline.diffusion.models.stable_diffusion import StableDiffusion
from erasediff_pipeline.diffusion.small.stable_diffusion import build_text_to_image
from erasediff_pipeline.unlearning.registry import METHODS
from tests.helpers.by_hand import images_of
from tests.helpers.runs import without_class_0
from training_cost import peak_of as peak_of_training

PROMPTS = ["three", "two"]
PARTS = {"autoencoder": {"channels": (16, 32)}, "text_encoder": {"width": 64}}
SETTINGS = DenoiserSettings(channels=(32, 64), text_to_image=PARTS)
"""Those of the environment ``tiny_text_to_image``."""


def peak_of(method, **settings):
    """Bytes, weights included, that two steps of 64 images a set take at most."""
    torch.manual_seed(0)
    pipeline = build_text_to_image(SETTINGS, (3, 16, 16), [*PROMPTS, "a photo of the number 3"]).to_pipeline()
    model = StableDiffusion(pipeline, PROMPTS)
    images = images_of([0, 1] * 64, (3, 16, 16))
    model.encode(images.tensors()[0])  # once, before training, as prompts are
    model.condition(torch.tensor([0]))
    entry = METHODS[method]
    chosen = entry.settings(steps=2, batch_size=64, **settings)
    return peak_of_training(model, entry.build(chosen), without_class_0(images), chosen)


def test_an_unlearning_step_takes_little_more_than_a_plain_one():
    """The two gradients are computed one after the other: their graphs are never held at once."""
    plain = peak_of("finetune")
    assert plain > 50 * 2**20
    for control in ("grad_norm", "value_gap"):
        assert peak_of("erasediff", control=control) <= 1.3 * plain, control
