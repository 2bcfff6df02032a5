"""The one training loop, for pretraining and for every method."""

import hashlib
import itertools
import logging
import math
import os
import re
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from tqdm.auto import tqdm

from erasediff_pipeline.config import MachineSettings, TrainingSettings
from erasediff_pipeline.config.machine import READING
from erasediff_pipeline.diffusion.model import Trainable
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.hashing import hash_images
from erasediff_pipeline.ranks import process_state, rank
from erasediff_pipeline.seeding import derive_seed, make_generator
from erasediff_pipeline.training.acceleration import accelerated, fit_to
from erasediff_pipeline.training.checkpoint import (
    Progress,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
)
from erasediff_pipeline.training.gradients import LossScale
from erasediff_pipeline.training.method import Batch, Method, TrainingData
from erasediff_pipeline.training.optimiser import lay_out_as_weights, optimiser_class
from erasediff_pipeline.training.processes import Share, average, check_agreement, share_of
from erasediff_pipeline.training.reading import read_batches
from erasediff_pipeline.training.store import FeatureStore

Scalars = dict[str, float]
OnLog = Callable[[int, Scalars], None]
M = TypeVar("M", bound=Trainable)
CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
PLAIN = MachineSettings()
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
    machine: MachineSettings = PLAIN,
) -> tuple[list[Scalars], Cost]:
    """Train ``model`` in place; at the end it holds the running mean of its weights.

    Every random draw of step s comes from (seed, s), and a run that was killed goes on from
    ``checkpoint`` to the same weights, byte for byte. Where torchrun has started several processes, each
    calls this; the first one keeps the checkpoint.

    Returns:
        The logged points of the curves, each with its ``step``, and the cost.

    Raises:
        InvalidParameter: Several processes cannot share the batches.
        UserError: The gradient is not finite, or the processes differ in what they have read.
    """
    started = time.perf_counter()
    reset_peak_memory()
    store = store or FeatureStore()
    accelerator, machine = start_accelerator(settings, machine)
    share = share_of(accelerator, settings, method.name)
    optimiser_of = optimiser_class(settings.optimiser, accelerator.device, f"optimiser of {method.name}")
    model.evaluations = 0
    model.recompute_activations(settings.gradient_checkpointing)
    method.prepare(model.to(accelerator.device).eval(), data, store, seed)
    prepared = time.perf_counter()
    preparation = prepared - started + store.reused_seconds
    fingerprint = fingerprint_run(model, method, data, settings, machine, share.parts, seed)
    with accelerated(model, machine):
        parameters = freeze_all_but(model.train(), method.subset)
        rates = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
        fused = {"fused": True} if machine.fused and settings.optimiser == "adamw" else {}
        optimiser = optimiser_of(parameters.values(), **rates, **fused)
        schedule = build_schedule(optimiser, settings)
        ema = None
        if settings.ema_decay:
            ema = EMAModel(parameters.values(), decay=settings.ema_decay, foreach=True)

        before = load_checkpoint(checkpoint, fingerprint, parameters, optimiser, ema)
        done, history = before.step, before.history
        check_agreement(accelerator, method.name, fingerprint, done)
        scale = LossScale(accelerator.mixed_precision == "fp16")
        if done:
            model.evaluations = before.evaluations
            scale.restore(before.loss_scale, before.good_steps)
            logger.info("%s goes on from step %d of %d", method.name, done, settings.steps)
            # Both schedules are closed formulas of the step, so that one step from there is enough.
            schedule.last_epoch, schedule._step_count = done - 1, done + 1
            schedule.step()

        steps = range(done, settings.steps)
        batches = encode_batches(model, data, settings, machine, share, steps, seed)
        progress = tqdm(steps, method.name, settings.steps, initial=done, unit="step")
        for step, (forget, retain) in zip(progress, batches, strict=True):
            evaluated, model.loss_scale = model.evaluations, scale.scale
            with accelerator.autocast():
                scalars = accumulate(model, method, forget, retain, seed, step, share)
            model.evaluations += (accelerator.num_processes - 1) * (model.evaluations - evaluated)
            scalars = average(accelerator, parameters.values(), scalars)
            norm = accelerator.clip_grad_norm_(parameters.values(), settings.max_grad_norm)
            finite = math.isfinite(norm)
            if not finite and scale.exhausted:
                raise UserError(
                    f"{method.name}: the gradient is {float(norm)} at step {step}: lower its learning_rate "
                    f"(now {settings.learning_rate})"
                )
            if finite:
                if fused:
                    lay_out_as_weights(parameters.values())
                optimiser.step()
            scale.update(finite)
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
            if not last and (step + 1) % settings.checkpoint_every == 0 and rank() == 0:
                seconds = before.seconds + time.perf_counter() - prepared
                so_far = Progress(step + 1, history, model.evaluations, seconds, *scale.state)
                save_checkpoint(checkpoint, fingerprint, so_far, parameters, optimiser, ema)

        if ema:
            ema.copy_to(parameters.values())
    model.loss_scale = 1.0
    model.recompute_activations(False)
    model.requires_grad_(True).eval()
    if rank() == 0:
        remove_checkpoint(checkpoint, fingerprint)
    seconds = preparation + before.seconds + time.perf_counter() - prepared
    return history, Cost(settings.steps, model.evaluations, seconds, peak_memory(model.device))


def start_accelerator(
    settings: TrainingSettings, machine: MachineSettings
) -> tuple[Accelerator, MachineSettings]:
    """accelerate's view of this process, and what of ``machine`` it can do."""
    AcceleratorState._reset_state()  # accelerate keeps one precision a process, trainings may differ
    machine, precision = fit_to(process_state().device, machine, settings)
    return Accelerator(mixed_precision=precision), machine


def accumulate(
    model: M, method: Method[M], forget: Batch | None, retain: Batch, seed: int, step: int, share: Share
) -> Scalars:
    """Leave the mean of the gradients of this process's parts; return the means of what the method logs."""
    if len(share.mine) == 1:
        return take_part(model, method, forget, retain, seed, step, share.mine.start)
    moving = [p for p in model.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in moving]
    logged: list[Scalars] = []
    for index, part in enumerate(share.mine):
        mine = [batch.part(index, len(share.mine)) if batch else None for batch in (forget, retain)]
        assert mine[1] is not None  # only the forget set may be absent
        logged.append(take_part(model, method, mine[0], mine[1], seed, step, part))
        for sum_, parameter in zip(total, moving, strict=True):
            if parameter.grad is not None:
                sum_.add_(parameter.grad, alpha=1 / len(share.mine))
                parameter.grad = None
    for sum_, parameter in zip(total, moving, strict=True):
        parameter.grad = sum_
    return {name: sum(scalars[name] for scalars in logged) / len(logged) for name in logged[0]}


def take_part(
    model: M, method: Method[M], forget: Batch | None, retain: Batch, seed: int, step: int, part: int
) -> Scalars:
    """The method's gradients of one part, which draws what it draws whichever process takes it."""
    where = (step, part) if part else (step,)  # a whole batch is the first part of one
    # Dropout draws from the global generator: tie it to the step as well.
    torch.manual_seed(derive_seed(seed, method.name, "global", *where))
    return method.gradients(model, forget, retain, make_generator(seed, method.name, "noise", *where))


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


def encode_batches(
    model: Trainable,
    data: TrainingData,
    settings: TrainingSettings,
    machine: MachineSettings,
    share: Share,
    steps: range,
    seed: int,
) -> Iterator[tuple[Batch | None, Batch]]:
    """This process's share of each step's batch of forget and of retain images, in the denoiser's space."""
    how = (settings, machine, share, steps, seed)
    nothing = itertools.repeat(None, len(steps))
    forgotten = read_batches(data.forget, *how, "forget") if data.forget else nothing
    retained = read_batches(data.retain, *how, "retain")
    for step, read, (images, labels) in zip(steps, forgotten, retained, strict=True):
        forget = Batch(model.encode(read[0]), read[1].to(model.device)) if read else None
        retain = Batch(model.encode(images), labels.to(model.device))
        if data.forgotten_before:
            drawn = draw_forgotten_before(data.forgotten_before, settings.batch_size, seed, step)
            mine = drawn[share.rows(settings.batch_size)].to(model.device)
            retain = retain._replace(forgotten_before=mine)
        yield forget, retain


def draw_forgotten_before(classes: Sequence[int], batch_size: int, seed: int, step: int) -> Tensor:
    """One of these classes for each image of a batch, ``[batch_size]`` int64, drawn uniformly."""
    generator = make_generator(seed, "before", step)
    return torch.tensor(classes)[torch.randint(len(classes), (batch_size,), generator=generator)]


def fingerprint_run(
    model: M,
    method: Method[M],
    data: TrainingData,
    settings: TrainingSettings,
    machine: MachineSettings,
    parts: int,
    seed: int,
) -> str:
    """A hash of all that decides the result, so that a checkpoint never continues another run."""
    asked = [list(data.forgotten_before), data.anchor]
    arithmetic = machine.model_dump(exclude=READING)
    plan = [method.name, seed, settings.model_dump(), arithmetic, parts, model.fingerprint(), *asked]
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
