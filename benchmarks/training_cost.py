"""Cost of erasing a digit: steps, time, memory, and the sampling of the evaluation."""

import copy
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
from diffusers import DiffusionPipeline
from safetensors import safe_open
from torch.nn.functional import mse_loss
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from erasediff_pipeline.config import CaptionSettings, EvaluationSettings, ForgetRequest, SamplingSettings
from erasediff_pipeline.data.image_files import load_images
from erasediff_pipeline.data.task import build_task
from erasediff_pipeline.diffusion.io import load_model
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import denoising_loss, drop_condition, noise_batch
from erasediff_pipeline.diffusion.pipelines import model_of
from erasediff_pipeline.evaluation.classifiers.pretrained import SavedClassifier
from erasediff_pipeline.evaluation.judge import build_judge
from erasediff_pipeline.evaluation.measure import evaluate_model, sample_model, sample_unguided
from erasediff_pipeline.seeding import make_generator
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import Method, TrainingData
from erasediff_pipeline.training.order import batch_rows
from erasediff_pipeline.unlearning.erasediff import EraseDiff, EraseDiffSettings
from erasediff_pipeline.unlearning.finetune import Finetune, FinetuneSettings
from measured import Measured
from released import PASSES, released_passes
from runs import ROOT

FORGOTTEN, KEPT = 0.02, 0.99
TIMED_STEPS = 62
EVERY = 20
"""Steps between two checks of whether the digit is gone."""


class Bench:
    """The base model of the digits, its classifier, and the default request."""

    def __init__(self) -> None:
        data = ROOT / "data"
        images = load_images(data / "03_primary/images")
        manifest = pd.read_parquet(data / "03_primary/manifest.parquet")
        self.base = load_model(data / "06_models/base").pipeline
        place = str(data / "06_models/classifier")
        self.classifier = SavedClassifier.from_pretrained(place, use_safetensors=True)
        self.task = build_task(images, manifest, ForgetRequest(classes=[0]), CaptionSettings())
        self.data = TrainingData(retain=self.task.retain, forget=self.task.forget)

    def model(self) -> DiffusionModel:
        """A copy of the base model, to train."""
        return model_of(copy.deepcopy(self.base))

    def evaluate(
        self, pipeline: DiffusionPipeline, sampling: SamplingSettings, evaluation: EvaluationSettings
    ) -> dict[str, Any]:
        """The metrics of a model, as ``unlearn`` measures them."""
        samples = sample_model(pipeline, self.task, sampling, evaluation, 0, "sample benchmark")
        unguided = sample_unguided(pipeline, samples, self.task, sampling, evaluation, 0, "no guidance")
        judge = build_judge(self.classifier, self.task.real, evaluation)
        roles = self.task.plan(evaluation)["role"].to_numpy()
        membership = {"forget_membership_auc": None}
        return evaluate_model(judge.look(samples), judge.look(unguided), membership, roles, judge)


def run_training(
    model: DiffusionModel, method: Method, data: TrainingData, settings: Any, **options: Any
) -> Any:
    """The loop, with a temporary place for checkpoints."""
    with tempfile.TemporaryDirectory() as folder:
        return train(model, method, data, settings, 0, Path(folder) / "checkpoint.safetensors", **options)


def time_steps(
    model: DiffusionModel, method: Method, data: TrainingData, settings: Any, **options: Any
) -> tuple[float, Any]:
    """Seconds of a step, and the cost of the training.

    The median without the first two steps, in which kernels are chosen and the model is compiled.
    """
    ends: list[float] = []

    def note(step: int, scalars: dict[str, float]) -> None:
        ends.append(time.perf_counter())

    _, cost = run_training(model, method, data, settings, on_log=note, **options)
    return median(after - before for before, after in pairwise(ends[1:])), cost


def step_overhead(bench: Bench) -> Measured:
    """A step of EraseDiff in the loop against its forward and backward passes alone, in turn."""
    settings = EraseDiffSettings(steps=TIMED_STEPS)
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
        if model.device.type == "cuda":
            torch.cuda.synchronize()  # as the step does, which reads its losses

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
    steps, bare = steps[2:], bare[2:]  # the first steps choose kernels
    # Each step against the passes next to it: other load on the machine changes within seconds.
    value = median(step / alone for step, alone in zip(steps, bare, strict=True))
    detail = (
        f"{median(steps):.3f} s a step, {median(bare):.3f} s for its passes, medians of {len(steps)}; "
        "the ratio is the median of theirs"
    )
    return Measured("time of an unlearning step ÷ its passes alone", value, 1.10, detail)


def time_to_forget(bench: Bench) -> Measured:
    """The default recipe against that of the released code, until the digit is gone and the rest is kept."""
    sampling, evaluation = SamplingSettings(), EvaluationSettings()
    settings = EraseDiffSettings(checkpoint_every=EVERY)
    steps, seconds_of_ours, ours = 0, 0.0, {}
    for steps, model, seconds_of_ours in stages(bench, settings):  # noqa: B007
        ours = bench.evaluate(model.to_pipeline(), sampling, evaluation)
        if reaches(ours):
            break
    theirs, seconds, passes, found = bench.model(), 0.0, 0, {}
    for taken in tqdm(released_passes(theirs, bench.data), "released loop", PASSES, unit="pass"):
        seconds, passes = seconds + taken, passes + 1
        found = bench.evaluate(theirs.to_pipeline(), sampling, evaluation)
        if reaches(found):
            break
    detail = (
        f"{seconds_of_ours:.0f} s for {steps} of {settings.steps} steps ({_summary(ours)}) "
        f"÷ {seconds:.0f} s for {passes} of {PASSES} passes ({_summary(found)})"
    )
    value = seconds_of_ours / seconds if reaches(ours) else None
    return Measured("time until forgotten ÷ that of the released loop", value, 0.05, detail)


def stages(bench: Bench, settings: EraseDiffSettings) -> Iterator[tuple[int, DiffusionModel, float]]:
    """One training, seen at several steps: the step, the model that would be kept, the seconds until then.

    Read from the checkpoints of the training; its end comes last.
    """
    method, model = EraseDiff(settings), bench.model()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "checkpoint.safetensors"
        kept: list[Path] = []

        def keep(step: int, scalars: dict[str, float]) -> None:
            if place.exists() and step % EVERY == 0:
                kept.append(Path(shutil.copy(place, place.with_name(f"{step}.safetensors"))))

        _, cost = train(model, method, bench.data, settings, 0, place, on_log=keep)
        for saved in kept:
            halfway = bench.model()
            with safe_open(saved, "pt") as checkpoint:
                progress = json.loads(checkpoint.metadata()["progress"])
                for name, parameter in halfway.trainable(settings.subset).items():
                    parameter.data.copy_(checkpoint.get_tensor(f"ema/{name}"))
            yield progress["step"], halfway, progress["seconds"]
    yield settings.steps, model, cost.wall_seconds


def reaches(metrics: dict[str, Any]) -> bool:
    """Whether the digit is gone and the rest is kept."""
    return metrics["forget_accuracy"] <= FORGOTTEN and metrics["retain_accuracy"] >= KEPT


def _summary(metrics: dict[str, Any]) -> str:
    return f"forget accuracy {metrics['forget_accuracy']:.3f}, retain {metrics['retain_accuracy']:.4f}"


def sampling_cost(bench: Bench) -> list[Measured]:
    """Denoiser evaluations of short samplers against 1000 ancestral steps, at about the same FID."""
    evaluation = EvaluationSettings(forget_samples=1)
    ancestral = SamplingSettings(sampler="ddpm", steps=1000)
    aim = bench.evaluate(bench.base, ancestral, evaluation)["fid"]
    figures = []
    for what, way in (
        ("default", SamplingSettings()),
        ("stochastic", SamplingSettings(sampler="sde_dpm_solver", steps=20)),
    ):
        fid = bench.evaluate(bench.base, way, evaluation)["fid"]
        detail = (
            f"{way.sampler}: FID {fid:.2f} in {way.steps} steps, {aim:.2f} in {ancestral.steps}: "
            f"{fid / aim - 1:+.1%}, at most +5 % counts"
        )
        value = way.steps / ancestral.steps if fid <= 1.05 * aim else None
        name = f"denoiser evaluations of {what} sampling ÷ ancestral sampling's"
        figures.append(Measured(name, value, 0.02, detail))
    return figures


def peak_of(model: DiffusionModel, method: Method, data: TrainingData, settings: Any) -> int:
    """Peak bytes that a short training allocates, with the weights: the same on every machine."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        run_training(model, method, data, settings)
    events = [e for e in watched.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = torch.tensor([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]).cumsum(0)
    return int(held.max()) + sum(p.numel() * p.element_size() for p in model.parameters())


def step_memory(bench: Bench) -> Measured:
    """A step of EraseDiff against one of fine-tuning, which is a plain training step."""
    unlearn, plain = EraseDiffSettings(steps=2), FinetuneSettings(steps=2)
    peak = peak_of(bench.model(), EraseDiff(unlearn), bench.data, unlearn)
    peak_plain = peak_of(bench.model(), Finetune(plain), bench.data, plain)
    detail = f"{peak / 2**20:.0f} MiB ÷ {peak_plain / 2**20:.0f} MiB"
    return Measured(
        "peak memory of an unlearning step ÷ a plain training step's", peak / peak_plain, 1.25, detail
    )
