"""``kill -9`` at random moments, and the same training once more."""

import os
import random
import signal
import time

import pytest

from erasediff_pipeline.config import MachineSettings, PretrainSettings
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import TrainingData
from tests.helpers.runs import build, small, weights_of

STEPS = {"steps": 12, "checkpoint_every": 1, "ema_decay": 0.5, "schedule": "one_cycle"}
MOMENTS = 10


def unlearn(model, data, checkpoint):
    method, settings = build("erasediff", **STEPS)
    return train(model, method, data, settings, 0, checkpoint, machine=MachineSettings())


def pretrain(model, data, checkpoint):
    settings = PretrainSettings(**small(**STEPS))
    return train(model, Denoising(settings), TrainingData(data.retain), settings, 0, checkpoint)


def train_in_a_child(start, model, data, checkpoint):
    """Its process id."""
    child = os.fork()
    if child == 0:
        try:
            start(model, data, checkpoint)
        finally:
            os._exit(0)
    return child


@pytest.mark.parametrize("start", [pretrain, unlearn])
def test_killed_at_ten_random_moments_it_ends_with_the_same_bytes(unet_model, data, tmp_path, start):
    """Weights are those of the running mean; the curve tells the rest: data order, noise, optimiser."""
    whole = unet_model(dropout=0.2)
    began = time.monotonic()
    history, _ = start(whole, data, tmp_path / "whole.safetensors")
    lasted = time.monotonic() - began
    moments = random.Random(0)
    checkpoint = tmp_path / "killed.safetensors"
    in_training = 0
    for _ in range(MOMENTS):
        child = train_in_a_child(start, unet_model(dropout=0.2), data, checkpoint)
        time.sleep(moments.uniform(0, 0.9 * lasted))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        in_training += os.WIFSIGNALED(status) and checkpoint.exists()
        resumed = unet_model(dropout=0.2)
        again, _ = start(resumed, data, checkpoint)
        assert weights_of(resumed) == weights_of(whole)
        assert again == history
        assert not checkpoint.exists()
    assert in_training >= MOMENTS / 2
