import logging
import os
from contextlib import suppress

import pytest
import torch

from erasediff_pipeline.config import MachineSettings
from erasediff_pipeline.training.acceleration import accelerated, choose_kernels, fit_to
from erasediff_pipeline.unlearning.erasediff import EraseDiffSettings
from tests.helpers.runs import Killed, kill, run, weights_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")
ALL = MachineSettings(compile=True, channels_last=True, fused=True, workers=1, pin_memory=True)
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


def test_without_an_accelerator_what_needs_one_is_left_out_and_named(caplog):
    settings = EraseDiffSettings(mixed_precision="fp16")
    kept = ALL.model_copy(update={"compile": False, "pin_memory": False})
    assert fit_to(CPU, ALL, settings) == (kept, "no")
    said = "machine.compile, machine.pin_memory, mixed_precision: fp16: ignored, there is no accelerator"
    assert caplog.messages == [said]


def test_what_the_cpu_can_do_is_done_in_silence_and_an_accelerator_gets_all_of_it(caplog):
    machine = MachineSettings(channels_last=True, fused=True, workers=2)
    assert fit_to(CPU, machine, EraseDiffSettings(mixed_precision="bf16")) == (machine, "bf16")
    assert fit_to(GPU, ALL, EraseDiffSettings(mixed_precision="fp16")) == (ALL, "fp16")
    assert not caplog.messages


def test_parts_are_compiled_and_laid_out_only_meanwhile(unet_model):
    """Also where what happens meanwhile fails."""
    model = unet_model()
    before, machine = weights_of(model), MachineSettings(compile=True, channels_last=True)
    with suppress(Killed), accelerated(model, machine):
        assert model.unet._compiled_call_impl is not None
        assert model.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
        raise Killed
    assert model.unet._compiled_call_impl is None
    assert all(p.is_contiguous() for p in model.parameters())
    assert weights_of(model) == before


def test_deterministic_kernels_by_one_switch(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    try:
        choose_kernels(MachineSettings(deterministic=True))
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        choose_kernels(MachineSettings())
    assert not torch.are_deterministic_algorithms_enabled()


def unlearn(model, data, checkpoint=None, machine=ALL, **changes):
    changes = {"retain_loss": "denoising", "forget_target": "null"} | changes
    return run("erasediff", model, data, checkpoint, machine=machine, **changes)[0]


@pytest.mark.parametrize(
    "machine",
    [
        MachineSettings(fused=False, workers=2),
        MachineSettings(fused=True),
        MachineSettings(fused=False, channels_last=True),
        ALL,
        pytest.param(MachineSettings(fused=False, compile=True), marks=gpu),
    ],
    ids=str,
)
def test_the_same_training_up_to_rounding(unet_model, data, machine):
    """Adam's first steps are nearly signs: of a gradient that is nothing but rounding, too."""
    plain, fast = unet_model(), unet_model()
    curve = unlearn(plain, data, None, MachineSettings(fused=False))
    faster = unlearn(fast, data, None, machine)
    assert faster[0] == pytest.approx(curve[0], rel=1e-4)
    assert [p["retain_loss"] for p in faster] == pytest.approx([p["retain_loss"] for p in curve], rel=0.02)
    rounds = machine.fused or machine.channels_last or machine.compile
    assert (weights_of(fast) == weights_of(plain)) == (not rounds)


PLAIN, FUSED = MachineSettings(fused=False), MachineSettings(fused=True)
FAST = MachineSettings(fused=True, channels_last=True, workers=1)
OTHER = ["belongs to another configuration and is kept for it: training starts from the beginning"]


@pytest.mark.parametrize(("killed", "machine", "said"), [(FAST, FAST, []), (FUSED, PLAIN, OTHER)], ids=str)
def test_killed_and_resumed_unless_in_other_arithmetic(
    unet_model, data, tmp_path, caplog, killed, machine, said
):
    whole, resumed = unet_model(), unet_model()
    unlearn(whole, data, None, machine)
    kill(unlearn, unet_model(), data, tmp_path / "b", killed)
    with caplog.at_level(logging.WARNING):
        unlearn(resumed, data, tmp_path / "b", machine)
    assert [message.removeprefix(f"{tmp_path / 'b'} ") for message in caplog.messages] == said
    assert weights_of(resumed) == weights_of(whole)


@gpu
def test_on_a_gpu_in_fp16(unet_model, data, caplog):
    model = unet_model()
    with caplog.at_level(logging.WARNING):
        curve = unlearn(model, data, mixed_precision="fp16")
    assert all(p.isfinite().all() for p in model.parameters())
    assert len(curve) == 6
    assert not caplog.messages
