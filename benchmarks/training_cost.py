"""What erasing a digit costs: its steps, its time, its memory, and the sampling that judges it."""

import copy
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
from diffusers import DiffusionPipeline
from torch.nn.functional import mse_loss
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from erasediff_pipeline.catalog import DiffusersDirectory, LabelledImagesDataset
from erasediff_pipeline.config import (
    CaptionSettings,
    EvaluationSettings,
    FinetuneSettings,
    ForgetRequest,
    SamplingSettings,
    UnlearnSettings,
)
from erasediff_pipeline.data.conditions import list_conditions, training_set
from erasediff_pipeline.data.request import split_by_request
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import denoising_loss, drop_condition, noise_batch
from erasediff_pipeline.diffusion.pipelines import model_of
from erasediff_pipeline.pipelines.unlearn import nodes
from erasediff_pipeline.seeding import make_generator
from erasediff_pipeline.unlearning.erasediff import EraseDiff
from erasediff_pipeline.unlearning.finetune import Finetune
from erasediff_pipeline.unlearning.loop import train
from erasediff_pipeline.unlearning.method import Method, TrainingData
from erasediff_pipeline.unlearning.order import batch_rows
from measured import Measured
from released import PASSES, released_passes
from runs import ROOT

FORGOTTEN, KEPT = 0.02, 0.99
TIMED_STEPS = 24


class Bench:
    """The digits' base model, its judge, and the default request."""

    def __init__(self) -> None:
        data = ROOT / "data"
        self.images = LabelledImagesDataset(str(data / "03_primary/images")).load()
        self.manifest = pd.read_parquet(data / "03_primary/manifest.parquet")
        self.base = DiffusersDirectory(str(data / "06_models/base"), "diffusers.DiffusionPipeline").load()
        judges = "erasediff_pipeline.evaluation.judges.AnyJudge"
        self.judge = DiffusersDirectory(str(data / "06_models/classifier"), judges).load()
        split = split_by_request(self.manifest, ForgetRequest(classes=[0]), [], CaptionSettings())
        self.split, request = split.table, split.description
        self.conditions = list_conditions(self.manifest, request, CaptionSettings())
        sides = (self.images, self.manifest, self.split, self.conditions)
        self.data = TrainingData(retain=training_set(*sides, "retain"), forget=training_set(*sides, "forget"))

    def model(self) -> DiffusionModel:
        """The base model, to be trained."""
        return model_of(copy.deepcopy(self.base))

    def judged(
        self, pipeline: DiffusionPipeline, sampling: SamplingSettings, evaluation: EvaluationSettings
    ) -> dict[str, Any]:
        """What is measured of a model, as ``unlearn`` measures it."""
        samples = nodes.draw_from("benchmark")(pipeline, self.conditions, sampling, evaluation, 0)
        sides = (self.images, self.manifest, self.split, self.conditions)
        return nodes.evaluate_model(samples, {"forget_membership_auc": None}, *sides, self.judge, evaluation)


def run_training(
    model: DiffusionModel, method: Method, data: TrainingData, settings: Any, **options: Any
) -> Any:
    """The loop, with a place for checkpoints that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return train(model, method, data, settings, 0, Path(folder) / "checkpoint.safetensors", **options)


def step_overhead(bench: Bench) -> Measured:
    """A step of EraseDiff in the loop, and in between its passes alone, on as large a batch."""
    settings = UnlearnSettings(steps=TIMED_STEPS)
    model, data = bench.model(), bench.data
    sides = []
    for images in (data.retain, data.forget):
        assert images is not None
        pixels, labels = images.tensors(batch_rows(len(images), settings.batch_size, 0, 0, "benchmark"))
        noised = noise_batch(model, model.encode(pixels), make_generator(0, "benchmark"))
        sides.append((noised, model.condition(labels)))
    (retain, c_retain), (forget, c_forget) = sides
    c_retain = drop_condition(model, c_retain, settings.condition_dropout, make_generator(0, "drop"))
    null = model.null_condition(settings.batch_size)
    parameters = list(model.parameters())

    def passes() -> None:
        torch.autograd.grad(denoising_loss(model, retain, c_retain), parameters)
        with torch.no_grad():
            target = model.denoise(forget.x_t, forget.t, null)
        torch.autograd.grad(mse_loss(model.denoise(forget.x_t, forget.t, c_forget), target), parameters)

    steps, bare = [], []
    ended = time.perf_counter()

    def between(step: int, scalars: dict[str, float]) -> None:
        nonlocal ended
        steps.append(time.perf_counter() - ended)
        started = time.perf_counter()
        passes()
        ended = time.perf_counter()
        bare.append(ended - started)

    run_training(model, EraseDiff(settings), data, settings, on_log=between)
    step, alone = median(steps[2:]), median(bare[2:])  # the first steps choose kernels
    detail = f"{step:.3f} s a step, {alone:.3f} s for its passes, medians of {TIMED_STEPS - 2}"
    return Measured("time of an unlearning step ÷ its passes alone", step / alone, 1.10, detail)


def time_to_forget(bench: Bench) -> Measured:
    """The default recipe, and that of the released code, until the digit is gone and the rest is there."""
    sampling, evaluation = SamplingSettings(), EvaluationSettings()
    settings, model = UnlearnSettings(), bench.model()
    _, cost = run_training(model, EraseDiff(settings), bench.data, settings)
    ours = bench.judged(model.to_pipeline(), sampling, evaluation)
    theirs, seconds, passes, found = bench.model(), 0.0, 0, {}
    for taken in tqdm(released_passes(theirs, bench.data), "released loop", PASSES, unit="pass"):
        seconds, passes = seconds + taken, passes + 1
        found = bench.judged(theirs.to_pipeline(), sampling, evaluation)
        if reaches(found):
            break
    detail = (
        f"{cost.wall_seconds:.0f} s for all {settings.steps} steps ({tell(ours)}) ÷ {seconds:.0f} s "
        f"for {passes} of {PASSES} passes ({tell(found)})"
    )
    value = cost.wall_seconds / seconds if reaches(ours) else None
    return Measured("time until forgotten ÷ that of the released loop", value, 0.05, detail)


def reaches(metrics: dict[str, Any]) -> bool:
    """Whether the digit is gone and the rest is there."""
    return metrics["forget_accuracy"] <= FORGOTTEN and metrics["retain_accuracy"] >= KEPT


def tell(metrics: dict[str, Any]) -> str:
    return f"forget accuracy {metrics['forget_accuracy']:.3f}, retain {metrics['retain_accuracy']:.4f}"


def sampling_cost(bench: Bench) -> Measured:
    """Denoiser evaluations of the default sampler and of 1000 ancestral steps, at about the same FID."""
    evaluation = EvaluationSettings(forget_samples=1)
    default, ancestral = SamplingSettings(), SamplingSettings(sampler="ddpm", steps=1000)
    fid, fid_ancestral = (bench.judged(bench.base, way, evaluation)["fid"] for way in (default, ancestral))
    detail = (
        f"FID {fid:.2f} in {default.steps} steps, {fid_ancestral:.2f} in {ancestral.steps}: "
        f"{fid / fid_ancestral - 1:+.1%}, at most +5 % counts"
    )
    value = default.steps / ancestral.steps if fid <= 1.05 * fid_ancestral else None
    return Measured("denoiser evaluations of sampling ÷ ancestral sampling's", value, 0.02, detail)


def peak_of(model: DiffusionModel, method: Method, data: TrainingData, settings: Any) -> int:
    """Bytes that a short training allocates at most, weights included: the same on every machine."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        run_training(model, method, data, settings)
    events = [e for e in watched.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = torch.tensor([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]).cumsum(0)
    return int(held.max()) + sum(p.numel() * p.element_size() for p in model.parameters())


def step_memory(bench: Bench) -> Measured:
    """EraseDiff against fine-tuning, which is a plain training step."""
    unlearn, plain = UnlearnSettings(steps=2), FinetuneSettings(steps=2)
    peak = peak_of(bench.model(), EraseDiff(unlearn), bench.data, unlearn)
    peak_plain = peak_of(bench.model(), Finetune(plain), bench.data, plain)
    detail = f"{peak / 2**20:.0f} MiB ÷ {peak_plain / 2**20:.0f} MiB"
    return Measured(
        "peak memory of an unlearning step ÷ a plain training step's", peak / peak_plain, 1.25, detail
    )
