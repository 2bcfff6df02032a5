"""Try changes of EraseDiff's default settings, one at a time, on the digits that no other table reports.

python benchmarks/recipe.py                       or `make recipe`; continues where it stopped
"""

import argparse
import copy
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DiffusionPipeline
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor
from torch.nn.functional import mse_loss
from tqdm import tqdm

from erasediff_pipeline.data.task import ForgetTask
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import model_of
from erasediff_pipeline.diffusion.sampling import draw_samples
from erasediff_pipeline.evaluation.classifiers.classifier import class_probabilities
from erasediff_pipeline.evaluation.judge import Judge, build_judge
from erasediff_pipeline.evaluation.measure import draw_retained, sample_model
from erasediff_pipeline.evaluation.metrics import evaluate_retained
from erasediff_pipeline.evidence.paired import Judged, compare, judge_each
from erasediff_pipeline.fingerprint import hash_json
from erasediff_pipeline.seeding import derive_seed, make_generator
from erasediff_pipeline.unlearning.erase import erase
from erasediff_pipeline.unlearning.registry import METHODS
from erasediff_pipeline.workspace import Workspace
from runs import ROOT, TUNED_ON, describe_origin, made_by, markdown, read_parameters, read_rows
from tune import Bench

METHOD = "erasediff"
CHANGES: list[dict[str, float]] = [
    {},
    {"condition_dropout": 0.0},
    {"condition_dropout": 0.1},
    {"condition_dropout": 0.2},
    {"learning_rate": 5e-4},
    {"fixed_lambda": 0.3},
    {"fixed_lambda": 3.0},
    {"ema_decay": 0.99},
    {"batch_size": 32},
    {"batch_size": 32, "steps": 600},
    {"steps": 150},
]
RETAINED, FREE = 200, 500
"""Samples of each retained class, and without a condition."""
CONFIDENCE = 0.95
EARLY, LATE = 0.05, 0.2
"""Where the drift is measured, in parts of T."""
TEXT = f"""Each row changes the default settings, and erases one of the digits that no other table reports.
Retain accuracy and FID are of {RETAINED} samples a class, against those of the base model from the same
noise; FID ratios have {CONFIDENCE:.0%} intervals, of the samples alone: another seed of the training may
differ by as much. "Base ∅": guided by the base model's prediction without a condition, so that only the
predictions under conditions differ. "Drift": mean squared difference from the base model's predictions for
retained images of the test split, at t from {EARLY:g} T to {LATE:g} T, × 10⁵. "No condition": the share of
{FREE} samples without a condition that show the digit."""


class Yardstick:
    """One digit: how far a model is from the base model."""

    def __init__(self, bench: Bench, digit: int) -> None:
        self.bench, self.digit, self.task = bench, digit, bench.tasks[digit]
        self.judge: Judge = build_judge(bench.classifier, self.task.real, bench.given.evaluation)
        self.base = self.look(bench.base.pipeline)

    def look(self, pipeline: DiffusionPipeline, *scales: float) -> dict[float, Judged]:
        """The retained samples, by guidance scale; without and with guidance if none is named."""
        given = self.bench.given
        counts = given.evaluation.model_copy(update={"retain_samples": RETAINED})
        found = {}
        for scale in scales or (0.0, given.sampling.guidance_scale):
            sampling = given.sampling.model_copy(update={"guidance_scale": scale})
            seen = self.judge.look(
                draw_retained(pipeline, self.task, sampling, counts, given.seed, f"w = {scale:g}")
            )
            found[scale] = judge_each(seen, evaluate_retained(seen, self.judge), self.judge)
        return found

    def measure(self, pipeline: DiffusionPipeline) -> dict[str, Any]:
        """The figures of an erased model."""
        figures: dict[str, Any] = {"forget_accuracy": self.forgotten(pipeline, self.task)}
        figures |= {"unconditional": self.unconditional(pipeline), "drift": self.drift(pipeline)}
        guided = self.bench.given.sampling.guidance_scale
        mixed = self.look(with_null_of(pipeline, self.bench.base.pipeline), guided)[guided]
        figures["mixed_fid_ratio"] = round(mixed.fid / self.base[guided].fid, 4)
        for scale, judged in self.look(pipeline).items():
            found = compare(self.base[scale], judged, CONFIDENCE)
            prefix = "" if scale else "unguided_"
            figures[f"{prefix}retain_accuracy"] = found["retain_accuracy"]["difference"]
            figures |= {f"{prefix}fid_{key}": round(value, 4) for key, value in found["fid"].items()}
        return figures

    def forgotten(self, pipeline: DiffusionPipeline, task: ForgetTask) -> float:
        """Forget accuracy."""
        given = self.bench.given
        counts = given.evaluation.model_copy(update={"retain_samples": 1})
        drawn = sample_model(pipeline, task, given.sampling, counts, given.seed, "forgotten")
        forgotten = drawn.select(drawn.labels == self.digit)
        return float(self.judge.look(forgotten).right.double().mean())

    def unconditional(self, pipeline: DiffusionPipeline) -> float:
        """Share of samples without a condition that show the digit."""
        model, given = model_of(pipeline, self.task.prompts), self.bench.given
        plain = given.sampling.model_copy(update={"guidance_scale": 0.0})
        labels = torch.full((FREE,), self.bench.base.pipeline.unet.config.num_class_embeds - 1)
        drawn = draw_samples(model, labels, derive_seed(given.seed, "recipe"), plain, "no condition")
        probabilities = class_probabilities(self.bench.classifier, torch.from_numpy(drawn))
        return float((probabilities.argmax(dim=1) == self.digit).double().mean())

    @torch.no_grad()
    def drift(self, pipeline: DiffusionPipeline) -> float:
        """Mean squared difference from the base model's predictions for retained images of the test split."""
        manifest, generator = self.task.manifest, make_generator(self.bench.given.seed, "drift")
        unseen = (manifest["split"] == "test") & (manifest["label"] != self.digit)
        images, labels = self.bench.images.select(np.flatnonzero(unseen)).tensors()
        base, model = (model_of(p, self.task.prompts).eval() for p in (self.bench.base.pipeline, pipeline))
        low, high = (round(part * len(base.process.times)) for part in (EARLY, LATE))
        t = base.process.times[torch.randint(low, high, (len(images),), generator=generator)]
        x_t = base.process.noise(base.encode(images), t, torch.randn(images.shape, generator=generator))
        c = base.condition(labels)
        return float(1e5 * mse_loss(model.denoise(x_t, t, c), base.denoise(x_t, t, c)))


def with_null_of(erased: DiffusionPipeline, base: DiffusionPipeline) -> DiffusionPipeline:
    """The erased model, whose prediction without a condition is that of the base model."""
    mixed = copy.deepcopy(erased)
    conditional, null = mixed.unet.forward, mixed.unet.config.num_class_embeds - 1

    def forward(x_t: Tensor, t: Tensor, class_labels: Tensor) -> UNet2DOutput:
        prediction = conditional(x_t, t, class_labels=class_labels).sample
        free = class_labels == null
        prediction[free] = base.unet(x_t[free], t[free], class_labels=class_labels[free]).sample
        return UNet2DOutput(sample=prediction)

    mixed.unet.forward = forward
    return mixed


def try_change(yardstick: Yardstick, change: dict[str, float]) -> dict[str, Any]:
    """Erase the digit with one change of the settings."""
    bench, entry = yardstick.bench, METHODS[METHOD]
    settings = entry.settings.model_validate(bench.parameters[entry.parameters] | change)
    start = ModelWithHistory(copy.deepcopy(bench.base.pipeline))
    with tempfile.TemporaryDirectory() as folder:
        erased = erase(METHOD, start, yardstick.task, settings, bench.given.seed, Workspace(Path(folder)))
    figures = yardstick.measure(erased.model.pipeline)
    return figures | {"evaluations": erased.cost["denoiser_evaluations"]}


def render(rows: pd.DataFrame) -> str:
    """The page."""
    cells = []
    for change, found in rows.groupby("change", sort=False):
        said = ", ".join(f"`{name}` {value:g}" for name, value in json.loads(change).items())
        for _, row in found.sort_values("digit").iterrows():
            ratios = (
                f"{row[f'{p}fid_ratio']:.2f} ({row[f'{p}fid_low']:.2f}–{row[f'{p}fid_high']:.2f})"
                for p in ("unguided_", "")
            )
            cells.append(
                [
                    said or "the default",
                    f"{row['digit']}",
                    f"{row['forget_accuracy']:.3f}",
                    f"{row['unguided_retain_accuracy']:+.3f}",
                    f"{row['retain_accuracy']:+.3f}",
                    *ratios,
                    f"{row['mixed_fid_ratio']:.2f}",
                    f"{row['drift']:.0f}",
                    f"{row['unconditional']:.3f}",
                    f"{row['evaluations']:,}",
                ]
            )
    head = ["change", "digit", "forget accuracy", "retain accuracy − base, no guidance", "… guided"]
    head += ["FID ÷ base, no guidance", "… guided", "base ∅", "drift", "no condition", "denoiser evaluations"]
    origin = describe_origin("make recipe", rows)
    return "\n".join(["# Changes of the recipe", "", f"{origin} {TEXT}", "", *markdown(head, cells)]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/recipe.csv")
    options = parser.parse_args(arguments)
    output = options.output
    settings = hash_json(read_parameters("base")[METHODS[METHOD].parameters])[:12]
    rows = read_rows(output, {METHOD: settings})
    done = set() if rows.empty else set(zip(rows["digit"], rows["change"], strict=True))
    work = [(digit, change) for digit in TUNED_ON for change in map(json.dumps, CHANGES)]
    missing = [cell for cell in work if cell not in done]
    yardsticks: dict[int, Yardstick] = {}
    bench = Bench() if missing else None
    for digit, change in tqdm(missing, "recipe", unit="run"):
        assert bench is not None
        if digit not in yardsticks:
            yardsticks[digit] = Yardstick(bench, digit)
        found = try_change(yardsticks[digit], json.loads(change))
        row = {"change": change, "digit": digit, **found, **made_by(settings)}
        rows = pd.concat([rows, pd.DataFrame([row])], ignore_index=True)
        rows.to_csv(output, index=False)
        output.with_suffix(".md").write_text(render(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
