"""``kill -9`` at random moments, and the same training once more."""

import random
import time
from functools import partial
from multiprocessing import get_context

import pytest

from erasediff_pipeline.training.method import TrainingData
from tests.helpers.runs import run, weights_of

STEPS = {"steps": 12, "checkpoint_every": 1, "ema_decay": 0.5, "schedule": "one_cycle"}
MOMENTS = 10


@pytest.mark.parametrize("name", ["pretrain", "erasediff"])
def test_killed_at_ten_random_moments_it_ends_with_the_same_bytes(unet_model, data, tmp_path, name):
    """Weights are those of the running mean; the curve tells the rest: data order, noise, optimiser."""
    start, whole = partial(run, name, **STEPS), unet_model(dropout=0.2)
    data = TrainingData(data.retain) if name == "pretrain" else data
    began = time.monotonic()
    history, _, _ = start(whole, data, tmp_path / "whole.safetensors")
    lasted = time.monotonic() - began
    moments = random.Random(0)
    checkpoint = tmp_path / "killed.safetensors"
    in_training = 0
    for _ in range(MOMENTS):
        child = get_context("fork").Process(target=start, args=(unet_model(dropout=0.2), data, checkpoint))
        child.start()
        time.sleep(moments.uniform(0, 0.9 * lasted))
        child.kill()
        child.join()
        in_training += child.exitcode < 0 and checkpoint.exists()
        resumed = unet_model(dropout=0.2)
        again, _, _ = start(resumed, data, checkpoint)
        assert weights_of(resumed) == weights_of(whole)
        assert again == history
        assert not checkpoint.exists()
    assert in_training >= MOMENTS / 4  # the others were before the first checkpoint
