"""The linear toy model's losses and gradients, written out in float64, and small batches to ask for them."""

import copy

import numpy as np
import torch

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.training.method import Batch, TrainingData

RETAINED = [1, 2]
NULL = 3
"""The null class of ``linear_model``."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images_of(labels, shape=(1, 2, 2), seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (len(labels), *shape), dtype=np.uint8)
    return LabelledImages(pixels, np.array(labels))


DATA = TrainingData(retain=images_of(RETAINED * 3), forget=images_of([0] * 4, seed=1))
"""Class 0 is to be forgotten."""


def batches(seed, retain_size=6, forget_size=4, shape=(1, 2, 2)):
    """A forget batch of class 0 and a retain batch of the others; their sizes tell their calls apart."""
    g = generator(seed)
    forget = Batch(torch.randn(forget_size, *shape, generator=g), torch.zeros(forget_size, dtype=torch.int64))
    retain = Batch(torch.randn(retain_size, *shape, generator=g), 1 + torch.arange(retain_size) % 2)
    return forget, retain


def flat(tensors):
    return torch.cat([torch.as_tensor(t, dtype=torch.float64, device="cpu").ravel() for t in tensors]).numpy()


def noise_in(call, x0, alpha_bar):
    """The target ε of a call, from x_t = √ᾱ·x0 + √(1 − ᾱ)·ε."""
    a = alpha_bar[call.t].view(-1, 1, 1, 1)
    return ((call.x_t.double() - a.sqrt() * x0.double()) / (1 - a).sqrt()).numpy()


class Weights:
    """The linear model's weights as they are now, which nothing moves."""

    def __init__(self, model):
        parameters = model.trainable("full").values()
        self.weight, self.bias = (p.detach().double().numpy().copy() for p in parameters)

    @property
    def vector(self):
        return flat([self.weight, self.bias])

    def moved(self, step):
        """The weights after a step, which is one vector."""
        new, size = copy.copy(self), self.weight.size
        new.weight = self.weight + step[:size].reshape(self.weight.shape)
        new.bias = self.bias + step[size:].reshape(self.bias.shape)
        return new

    def predict(self, x_t, c):
        x = x_t.double().flatten(1).numpy()
        return (x @ self.weight.T + self.bias[np.asarray(c)]).reshape(tuple(x_t.shape))

    def solve(self, call, target):
        """Mean squared error of a call that should have predicted ``target``; its gradient, as one vector."""
        residual = (self.predict(call.x_t, call.c) - np.asarray(target)).reshape(len(call.x_t), -1)
        slope, bias_slope = 2 * residual / residual.size, np.zeros_like(self.bias)
        np.add.at(bias_slope, call.c.numpy(), slope)
        return (residual**2).mean(), flat([slope.T @ call.x_t.double().flatten(1).numpy(), bias_slope])


class Step:
    """One call of ``gradients`` on the linear model: what it asked the model, and what it left.

    ``retain`` and ``forget`` are the calls that gradients flow through, None where there is none;
    ``aims`` the others of the forget batch.
    """

    def __init__(self, model, method, alpha_bar, seed=0):
        model.calls.clear()
        model.noised.clear()
        model.zero_grad()
        self.weights, self.alpha_bar = Weights(model), alpha_bar
        forget, retain = batches(seed)
        self.scalars = method.gradients(model, forget, retain, generator(seed + 100))
        self.update = flat([p.grad for p in model.trainable("full").values()])
        self.calls, self.noised = list(model.calls), list(model.noised)
        self.retain, self.forget = (self.only(size) for size in (6, 4))
        self.aims = [call for call in self.calls if not call.grad and len(call.x_t) == 4]
        self.retain_x0, self.forget_x0 = retain.x0, forget.x0

    def only(self, size):
        call, *more = [call for call in self.calls if call.grad and len(call.x_t) == size] or [None]
        assert not more
        return call

    def noised_of(self, size):
        """The one x0 of this batch size that was noised."""
        (x0,) = (x0 for x0 in self.noised if len(x0) == size)
        return x0

    def retain_loss(self, x0=None):
        """L_r and its gradient."""
        x0 = self.retain_x0 if x0 is None else x0
        return self.weights.solve(self.retain, noise_in(self.retain, x0, self.alpha_bar))

    def forget_loss(self, target=None):
        """Loss and gradient of the forget batch; without a target, that of denoising."""
        noise = noise_in(self.forget, self.forget_x0, self.alpha_bar)
        return self.weights.solve(self.forget, noise if target is None else target)


def assert_update(step, expected):
    """Float32 against float64; the gradients are of the order of one."""
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(step.update, expected, atol=2e-4, rtol=2e-3)


def push(model, size=0.5):
    """Move the weights, as earlier steps would have done."""
    for p in model.parameters():
        p.data += size * torch.randn(p.shape, generator=generator(7))
