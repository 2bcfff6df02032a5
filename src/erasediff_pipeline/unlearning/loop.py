"""The one training loop, for pretraining and for every method."""

import hashlib
import logging
import math
import os
import re
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers.training_utils import EMAModel
from torch import Generator, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from tqdm.auto import tqdm

from erasediff_pipeline.config import TrainingSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import Trainable
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.hashing import hash_images
from erasediff_pipeline.seeding import derive_seed, make_generator
from erasediff_pipeline.unlearning.checkpoint import Progress, load_checkpoint, save_checkpoint
from erasediff_pipeline.unlearning.method import Batch, Method, TrainingData
from erasediff_pipeline.unlearning.optimiser import optimiser_class
from erasediff_pipeline.unlearning.order import batch_rows
from erasediff_pipeline.unlearning.store import FeatureStore

Scalars = dict[str, float]
OnLog = Callable[[int, Scalars], None]
M = TypeVar("M", bound=Trainable)
CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cost:
    """What a training took."""

    steps: int
    denoiser_evaluations: int
    """Images through the denoiser, forward."""
    wall_seconds: float
    """Preparation included, also where an earlier run has spent it on what this one reuses."""
    peak_memory_bytes: int
    """Of the accelerator where there is one, else the resident size of the process, in this training."""


def train(
    model: M,
    method: Method[M],
    data: TrainingData,
    settings: TrainingSettings,
    seed: int,
    checkpoint: Path,
    on_log: OnLog = lambda step, scalars: None,
    store: FeatureStore | None = None,
) -> tuple[list[Scalars], Cost]:
    """Train ``model`` in place; at the end it holds the running mean of its weights.

    Every random draw of step s comes from (seed, s), and a run that was killed goes on from
    ``checkpoint`` to the same weights, byte for byte.

    Returns:
        The logged points of the curves, each with its ``step``, and the cost.
    """
    started = time.perf_counter()
    reset_peak_memory()
    store = store or FeatureStore()
    AcceleratorState._reset_state()  # accelerate keeps one precision a process, trainings may differ
    accelerator = Accelerator(mixed_precision=settings.mixed_precision)
    optimiser_of = optimiser_class(settings.optimiser, accelerator.device, f"optimiser of {method.name}")
    model.evaluations = 0
    model.recompute_activations(settings.gradient_checkpointing)
    method.prepare(model.to(accelerator.device).eval(), data, store, seed)
    prepared = time.perf_counter()
    preparation = prepared - started + store.reused_seconds
    parameters = freeze_all_but(model.train(), method.subset)
    rates = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    optimiser = optimiser_of(parameters.values(), **rates)
    schedule = build_schedule(optimiser, settings)
    ema = EMAModel(parameters.values(), decay=settings.ema_decay) if settings.ema_decay else None

    fingerprint = fingerprint_run(model, method, data, settings, seed)
    before = load_checkpoint(checkpoint, fingerprint, parameters, optimiser, ema)
    done, history = before.step, before.history
    if done:
        model.evaluations = before.evaluations
        logger.info("%s goes on from step %d of %d", method.name, done, settings.steps)
        # Both schedules are closed formulas of the step, so that one step from there is enough.
        schedule.last_epoch, schedule._step_count = done - 1, done + 1
        schedule.step()

    progress = tqdm(range(done, settings.steps), method.name, settings.steps, initial=done, unit="step")
    for step in progress:
        # Dropout draws from the global generator: tie it to the step as well.
        torch.manual_seed(derive_seed(seed, method.name, "global", step))
        generator = make_generator(seed, method.name, "noise", step)
        forget = draw_batch(model, data.forget, settings, step, seed, "forget")
        retain = draw_batch(model, data.retain, settings, step, seed, "retain")
        assert retain is not None  # only the forget set may be absent
        if data.forgotten_before:
            retain = add_forgotten_before(retain, data.forgotten_before, make_generator(seed, "before", step))
        with accelerator.autocast():
            scalars = accumulate(model, method, forget, retain, generator, settings.accumulation)
        norm = accelerator.clip_grad_norm_(parameters.values(), settings.max_grad_norm)
        if not math.isfinite(norm):
            raise UserError(
                f"{method.name}: the gradient is {float(norm)} at step {step}: lower its learning_rate "
                f"(now {settings.learning_rate})"
            )
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if ema:
            ema.step(parameters.values())

        last = step + 1 == settings.steps
        if last or step % settings.log_every == 0:
            scalars = {**scalars, "gradient_norm": float(norm)}
            history.append({"step": step, **scalars})
            on_log(step, scalars)
            progress.set_postfix({k: f"{v:.3g}" for k, v in scalars.items() if "loss" in k})
        if not last and (step + 1) % settings.checkpoint_every == 0:
            seconds = before.seconds + time.perf_counter() - prepared
            so_far = Progress(step + 1, history, model.evaluations, seconds)
            save_checkpoint(checkpoint, fingerprint, so_far, parameters, optimiser, ema)

    if ema:
        ema.copy_to(parameters.values())
    model.recompute_activations(False)
    model.requires_grad_(True).eval()
    checkpoint.unlink(missing_ok=True)
    seconds = preparation + before.seconds + time.perf_counter() - prepared
    return history, Cost(settings.steps, model.evaluations, seconds, peak_memory(model.device))


def accumulate(
    model: M,
    method: Method[M],
    forget: Batch | None,
    retain: Batch,
    generator: Generator,
    parts: int,
) -> Scalars:
    """Leave the mean of the parts' gradients; return the means of what the method logs."""
    if parts == 1:
        return method.gradients(model, forget, retain, generator)
    moving = [p for p in model.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in moving]
    logged: list[Scalars] = []
    for part in range(parts):
        mine = [batch.part(part, parts) if batch else None for batch in (forget, retain)]
        assert mine[1] is not None
        logged.append(method.gradients(model, mine[0], mine[1], generator))
        for sum_, parameter in zip(total, moving, strict=True):
            if parameter.grad is not None:
                sum_.add_(parameter.grad, alpha=1 / parts)
                parameter.grad = None
    for sum_, parameter in zip(total, moving, strict=True):
        parameter.grad = sum_
    return {name: sum(scalars[name] for scalars in logged) / parts for name in logged[0]}


def edit(model: M, method: Any, data: TrainingData) -> tuple[list[Scalars], Cost]:
    """Let a closed-form method move the weights; what it returns is the one point of the curves."""
    started = time.perf_counter()
    reset_peak_memory()
    model.evaluations = 0
    scalars = method.edit(model.eval(), data)
    seconds = time.perf_counter() - started
    return [{"step": 0, **scalars}], Cost(0, model.evaluations, seconds, peak_memory(model.device))


def freeze_all_but(model: Trainable, subset: str) -> dict[str, nn.Parameter]:
    """Let only the parameters of ``subset`` move, and return them by name."""
    parameters = model.trainable(subset)
    model.requires_grad_(False)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    return parameters


def build_schedule(optimiser: Optimizer, settings: TrainingSettings) -> LRScheduler:
    """The learning rate as a function of the step."""
    if settings.schedule == "one_cycle":
        return OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps + 1)
    return LambdaLR(optimiser, lambda step: 1.0)


def draw_batch(
    model: Trainable,
    images: LabelledImages | None,
    settings: TrainingSettings,
    step: int,
    seed: int,
    stream: str,
) -> Batch | None:
    """The batch of one step, encoded; None where there are no such images."""
    if images is None:
        return None
    rows = batch_rows(len(images), settings.batch_size, step, seed, stream)
    pixels, labels = images.tensors(rows)
    return Batch(model.encode(pixels), labels.to(model.device))


def add_forgotten_before(batch: Batch, classes: Sequence[int], generator: Generator) -> Batch:
    """The batch with one of these classes, drawn uniformly, beside each image."""
    drawn = torch.randint(len(classes), batch.labels.shape, generator=generator)
    return batch._replace(forgotten_before=torch.tensor(classes)[drawn].to(batch.labels.device))


def fingerprint_run(
    model: M, method: Method[M], data: TrainingData, settings: TrainingSettings, seed: int
) -> str:
    """A hash of all that decides the result, so that a checkpoint never continues another run."""
    asked = [list(data.forgotten_before), data.anchor]
    plan = [method.name, seed, settings.model_dump(), model.fingerprint(), *asked]
    digest = hashlib.sha256(repr(plan).encode())
    for images in (data.retain, data.forget):
        if images is not None:
            digest.update(hash_images(images).encode())
    return digest.hexdigest()


def reset_peak_memory() -> None:
    """Count from here, where Linux or CUDA lets a process do so."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if os.access(CLEAR_REFS, os.W_OK):
        CLEAR_REFS.write_text("5")  # man 5 proc: resets VmHWM


def peak_memory(device: torch.device) -> int:
    """Peak bytes since the reset, of the accelerator or of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if STATUS.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())[1]) * 1024  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
