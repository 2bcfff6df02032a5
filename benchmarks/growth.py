"""Time and memory of a step by size of the model and of the images; a step of CIFAR-10's model on a GPU."""

import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from erasediff_pipeline.config import DenoiserSettings, MachineSettings, SamplingSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.models.ddpm import Ddpm
from erasediff_pipeline.diffusion.sampling import draw_samples
from erasediff_pipeline.diffusion.small.ddpm import build_class_conditional
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.unlearning.erasediff import EraseDiff, EraseDiffSettings
from measured import Measured
from runs import read_parameters
from training_cost import peak_of, time_steps

SIDES, WIDER = (8, 16, 32), (1, 2, 4)
"""Side in pixels; factors of the channels, which make ×1, ×4, ×16 parameters."""


def build(denoiser: DenoiserSettings, shape: tuple[int, int, int]) -> tuple[Ddpm, TrainingData]:
    """A model with random weights, and random images of ten classes, of which the first is forgotten."""
    torch.manual_seed(0)
    model = build_class_conditional(denoiser, shape, 10)
    pixels = np.random.default_rng(0).integers(0, 256, (100, *shape), np.uint8)
    images = LabelledImages(pixels, np.arange(100) % 10)
    return model, TrainingData(images.select(images.labels != 0), images.select(images.labels == 0))


def measure(wider: int, side: int) -> dict[str, Any]:
    """One point of the plot."""
    channels = tuple(wider * width for width in DenoiserSettings().channels)
    model, data = build(DenoiserSettings(channels=channels), (1, side, side))
    nine, two = (EraseDiffSettings(steps=steps, batch_size=32) for steps in (9, 2))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "side": side,
        "seconds": time_steps(copy.deepcopy(model), EraseDiff(nine), data, nine)[0],
        "bytes": peak_of(model, EraseDiff(two), data, two),
    }


def growth(path: Path) -> list[Measured]:
    """Time and memory of a step against parameters and side of the image; the plot goes to ``path``."""
    smallest = measure(WIDER[0], SIDES[0])  # the first point of both axes
    points = {
        "parameters": [smallest, *(measure(wider, SIDES[0]) for wider in WIDER[1:])],
        "side": [smallest, *(measure(WIDER[0], side) for side in SIDES[1:])],
    }
    table = pd.DataFrame([{"axis": axis, **row} for axis, rows in points.items() for row in rows])
    draw_growth(table, path)
    told = []
    for axis in ("parameters", "side"):
        of_axis = table[table["axis"] == axis]
        first, last = of_axis.iloc[0], of_axis.iloc[-1]
        for quantity, unit, scale in (("seconds", "s", 1), ("bytes", "MB", 1e-6)):
            measured = " → ".join(f"{value * scale:.3g}" for value in of_axis[quantity])
            where = " → ".join(f"{value:,}" for value in of_axis[axis])
            what = "time" if quantity == "seconds" else "memory"
            name = f"{what} of a step at ×{last[axis] / first[axis]:.0f} {axis}"
            told.append(
                Measured(name, float(last[quantity] / first[quantity]), None, f"{measured} {unit} at {where}")
            )
    return told


def draw_growth(table: pd.DataFrame, path: Path) -> None:
    """Both axes are logarithmic: a straight line is a power law."""
    figure = Figure(figsize=(8, 3.4), dpi=120)
    labels = {
        "parameters": "parameters of the model (8×8 pixels)",
        "side": f"side of an image, pixels ({table['parameters'].iloc[0] / 1e6:.1f} M parameters)",
    }
    for axes, (axis, label) in zip(figure.subplots(1, 2), labels.items(), strict=True):
        of_axis = table[table["axis"] == axis]
        for quantity, name, colour in (("seconds", "time", "#3b5b92"), ("bytes", "peak memory", "#b3261e")):
            relative = of_axis[quantity] / of_axis[quantity].iloc[0]
            axes.plot(of_axis[axis], relative, "o-", label=name, color=colour)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks(
            of_axis[axis], [f"{v / 1e6:.1f} M" if axis == "parameters" else v for v in of_axis[axis]]
        )
        axes.set_xlabel(label)
        axes.set_ylabel("a step, × the smallest")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def on_a_gpu(environment: str = "cifar10", side: int = 32) -> list[Measured]:
    """Seconds per step, and samples per second, of CIFAR-10's model (35.8 M parameters)."""
    names = ("seconds of an unlearning step of CIFAR-10's model", "its samples a second")
    if not torch.cuda.is_available():
        return [Measured(name, None, None, "not measured: no GPU here") for name in names]
    return measure_large(names, read_parameters(environment), side, "cuda")


def measure_large(
    names: tuple[str, str], parameters: dict[str, Any], side: int, device: str
) -> list[Measured]:
    """With the settings of the environment, but twelve steps and the default sampler."""
    model, data = build(DenoiserSettings(**parameters["denoiser"]), (3, side, side))
    model.to(device)
    settings = EraseDiffSettings(**(parameters["unlearn"] | {"steps": 12}))
    machine = MachineSettings(**parameters["machine"])
    step, _ = time_steps(copy.deepcopy(model), EraseDiff(settings), data, settings, machine=machine)
    way = SamplingSettings()
    labels = torch.arange(way.batch_size) % 10
    draw_samples(model, labels, 0, way, "warm up")
    started = time.perf_counter()
    draw_samples(model, labels, 0, way, "benchmark")
    rate = way.batch_size / (time.perf_counter() - started)
    card = torch.cuda.get_device_name() if device == "cuda" else device
    details = (
        f"{card}, batch {settings.batch_size}, precision {settings.mixed_precision}",
        f"{card}, {way.steps} steps, guidance {way.guidance_scale:g}, {way.batch_size} at a time",
    )
    return [
        Measured(*pair, None, detail)
        for pair, detail in zip(zip(names, (step, rate), strict=True), details, strict=True)
    ]
