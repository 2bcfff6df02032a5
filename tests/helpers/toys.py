"""Toy data and toy models, small enough that the mathematics can be checked by hand."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from tensordict import TensorDict
from torch import nn
from torch.nn.functional import linear

from erasediff_pipeline.config import DenoiserSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.models.stable_diffusion import StableDiffusion
from erasediff_pipeline.diffusion.process import VariancePreserving
from erasediff_pipeline.diffusion.small.ddpm import build_class_conditional
from erasediff_pipeline.diffusion.small.stable_diffusion import build_text_to_image


class Call(NamedTuple):
    """One call of the denoiser."""

    x_t: torch.Tensor
    t: torch.Tensor
    c: torch.Tensor
    prediction: torch.Tensor
    grad: bool


class WatchedProcess(VariancePreserving):
    """Remembers the images that were noised."""

    def __init__(self, scheduler):
        super().__init__(scheduler)
        self.noised = []

    def noise(self, x0, t, eps):
        self.noised.append(x0.clone())
        return super().noise(x0, t, eps)


def labels_in(c):
    """The labels of conditions, or labels as they are."""
    return c["label"] if isinstance(c, TensorDict) else c


class ToyModel(DiffusionModel):
    """A diffusion model whose denoiser is any function; it remembers what it was asked."""

    def __init__(self, predict, parameters, shape, classes, **scheduler):
        super().__init__()
        self.of, self.shape, self.classes = predict, shape, classes
        self.process = WatchedProcess(DDPMScheduler(**scheduler))
        self.calls = []
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(value))

    def encode(self, images):
        return images.float() / 127.5 - 1

    def decode(self, x0):
        return ((x0.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)

    @property
    def noised(self):
        return self.process.noised

    def condition(self, labels):
        return TensorDict({"label": labels}, [len(labels)])

    def null_condition(self, n):
        return self.condition(torch.full((n,), self.classes, device=self.device))

    def denoise(self, x_t, t, c):
        c = labels_in(c)
        return self.record(x_t, t, c, self.of(self, x_t, t, c))

    def record(self, x_t, t, c, prediction):
        self.count(len(x_t))
        self.calls.append(Call(x_t.clone(), t.clone(), c, prediction.detach(), torch.is_grad_enabled()))
        return prediction

    def trainable(self, subset):
        return {name: p for name, p in self.named_parameters() if subset == "full" or name == "bias"}

    embed_condition = denoise_embedded = to_pipeline = predict = None
    sample_shape = image_shape = property(lambda self: self.shape)
    denoiser = property(lambda self: self)


class LinearModel(ToyModel):
    """ε(x_t, t, c) = W·x_t + b_c; b_c is the embedding of c."""

    def embed_condition(self, c):
        return TensorDict({"table 0": self.bias[labels_in(c)]}, [len(c)])

    def denoise(self, x_t, t, c):
        return self.denoise_embedded(x_t, t, self.embed_condition(c), labels_in(c))

    def denoise_embedded(self, x_t, t, e, c=None):
        """Without a condition, recorded as asked under the one that lies nearest."""
        e = e["table 0"]
        c = torch.cdist(e.detach(), self.bias.detach()).argmin(dim=1) if c is None else c
        return self.record(x_t, t, c, (linear(x_t.flatten(1), self.weight) + e).view_as(x_t))


def build_toy_unet(seed=0, dropout=0.0):
    """The real model, tiny: three classes of 8×8 images."""
    torch.manual_seed(seed)
    return build_class_conditional(DenoiserSettings(channels=(8, 16), dropout=dropout), (1, 8, 8), 3)


def draw_toy_images():
    """120 images of 8×8 in three classes: class k lights its own quadrant."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = rng.integers(0, 60, (120, 1, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = divmod(int(label), 2)
        image[0, 4 * top : 4 * top + 4, 4 * left : 4 * left + 4] += 190
    return LabelledImages(images, labels)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def factory(make):
    """A fixture that hands out this function."""
    return pytest.fixture(scope="session")(lambda: make)


@factory
def toy_model(predict, shape=(1, 8, 8), classes=3, **scheduler):
    """A model with this denoiser."""
    return ToyModel(predict, {"dummy": torch.zeros(1)}, shape, classes, **scheduler)


@factory
def linear_model(seed=0, shape=(1, 2, 2), classes=3, **scheduler):
    """ε(x_t, t, c) = W·x_t + b_c on 2×2 images, three classes and the null class."""
    generator, size = torch.Generator().manual_seed(seed), math.prod(shape)
    weight = torch.randn(size, size, generator=generator) / 2
    parameters = {"weight": weight, "bias": torch.randn(classes + 1, size, generator=generator)}
    return LinearModel(None, parameters, shape, classes, **scheduler)


@factory
def text_model(prompts, seed=0, **options):
    """The parts of Stable Diffusion, tiny, for images of 16×16 in colour."""
    torch.manual_seed(seed)
    text_encoder = {"width": 16, "layers": 1, "heads": 2, "context_length": 12}
    parts = {"autoencoder": {"channels": (8, 8)}, "text_encoder": text_encoder}
    settings = DenoiserSettings(channels=(8, 16), text_to_image=parts)
    built = build_text_to_image(settings, (3, 16, 16), sorted({*prompts, "a photo of the number 3"}))
    return StableDiffusion(built.to_pipeline(), prompts, **options)


unet_model = factory(build_toy_unet)
toy_images = pytest.fixture(scope="session")(draw_toy_images)


@pytest.fixture(scope="session")
def alpha_bar():
    """ᾱ of the linear schedule from 1e-4 to 0.02 over 1,000 steps (arXiv 2006.11239, section 4)."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), dim=0)
