"""Short trainings, killed where a test wants it."""

from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from erasediff_pipeline.config import PretrainSettings
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.registry import METHODS

STEPPED = [name for name, entry in METHODS.items() if not entry.closed_form]
"""The methods that train."""
CHEAP = {
    "salun": {"mask_batches": 2},
    "selective_amnesia": {"replay_images": 6, "fisher_batches": 2, "fisher_batch_size": 4},
    "blindspot": {"proxy_steps": 3},
}
"""Settings that make a method's preparation short."""
in_8_bits = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="the extra adamw_8bit is missing")


class Killed(Exception):
    pass


def without_class_0(images):
    """Class 0 is to be forgotten, the others are retained."""
    return TrainingData(images.select(images.labels != 0), images.select(images.labels == 0))


def watch(method, before_step):
    """Call ``before_step(n)`` ahead of the n-th gradients."""
    original, calls = method.gradients, []

    def gradients(*arguments):
        calls.append(1)
        before_step(len(calls))
        return original(*arguments)

    method.gradients, method.calls = gradients, calls
    return method


def kill_at(call):
    def before_step(n):
        if n == call:
            raise Killed

    return before_step


def kill(train, *given, call=4, **changes):
    """Train until the gradients of this call."""
    with pytest.raises(Killed):
        train(*given, before_step=kill_at(call), **changes)


def small(**changes):
    values = {"steps": 6, "batch_size": 4, "checkpoint_every": 2, "log_every": 1, "learning_rate": 1e-3}
    return {**values, **changes}


def build(name, **changes):
    """A method of the registry, or ``pretrain``, with small settings, and these settings."""
    entry = {**METHODS, "pretrain": SimpleNamespace(settings=PretrainSettings, build=Denoising)}[name]
    settings = entry.settings(**small(**{**CHEAP.get(name, {}), **changes}))
    return entry.build(settings), settings


def prepared(name, model, data, store=None, seed=0, **changes):
    """A method of the registry that is ready to compute gradients."""
    method, _ = build(name, **changes)
    method.prepare(model, data, store or FeatureStore(), seed)
    return method


def run(name, model, data, checkpoint=None, seed=0, before_step=lambda n: None, **changes):
    """Train by what ``build`` returns; its curves, its cost and the method."""
    options = {key: changes.pop(key) for key in ("on_log", "store", "machine") if key in changes}
    method, settings = build(name, **changes)
    watch(method, before_step)
    history, cost = train(model, method, data, settings, seed, checkpoint, **options)
    return history, cost, method


def weights_of(model):
    return {name: p.detach().cpu().numpy().tobytes() for name, p in model.named_parameters()}
