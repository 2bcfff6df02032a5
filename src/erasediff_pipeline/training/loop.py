"""The one training loop, for pretraining and for every method."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from diffusers.training_utils import EMAModel
from torch import nn

from erasediff_pipeline.config import MachineSettings, TrainingSettings
from erasediff_pipeline.diffusion.model import Trainable
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.progress import show_progress
from erasediff_pipeline.ranks import rank
from erasediff_pipeline.training.acceleration import accelerated, start_accelerator
from erasediff_pipeline.training.checkpoint import (
    Progress,
    State,
    fingerprint_run,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
)
from erasediff_pipeline.training.gradients import LossScale, accumulate
from erasediff_pipeline.training.memory import peak_memory, reset_peak_memory
from erasediff_pipeline.training.method import Batch, ClosedForm, M, Method, Scalars, TrainingData
from erasediff_pipeline.training.optimiser import build_schedule, match_layouts, optimiser_class
from erasediff_pipeline.training.processes import average, check_agreement, share_of
from erasediff_pipeline.training.reading import encode_batches
from erasediff_pipeline.training.store import FeatureStore

OnLog = Callable[[int, Scalars], None]
PLAIN = MachineSettings()
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cost:
    """The cost of a training."""

    steps: int
    denoiser_evaluations: int
    """Images that went forward through the denoiser."""
    wall_seconds: float
    """Includes the preparation, also what an earlier run has spent on results that this one reuses."""
    peak_memory_bytes: int
    """Peak in this training: of the accelerator if there is one, else the resident size of the process."""


def train(
    model: M,
    method: Method[M],
    data: TrainingData,
    settings: TrainingSettings,
    seed: int,
    checkpoint: Path | None = None,
    on_log: OnLog = lambda step, scalars: None,
    store: FeatureStore | None = None,
    machine: MachineSettings = PLAIN,
    section: str | None = None,
) -> tuple[list[Scalars], Cost]:
    """Train ``model`` in place; at the end it holds the running mean of its weights, if there is one.

    Every random draw of step s comes from (seed, s), so a run that was killed continues from ``checkpoint``
    to the same weights, byte for byte. Under torchrun, each process calls this; the first one writes the
    checkpoint.

    Args:
        model: The model to train.
        method: Computes the gradients.
        data: The retain set and, for unlearning, the forget set.
        settings: Steps, batch size, optimiser and the like.
        seed: Top-level seed.
        checkpoint: Path of the checkpoint; it is removed at the end. None writes none.
        on_log: Called with the step and the scalars of each point of the curves.
        store: Keeps what ``method.prepare`` computes; by default nothing is kept.
        machine: How to compute faster.
        section: Key of the settings, for progress and messages; by default, the method's own.

    Returns:
        The points of the curves, each with its ``step``, and the cost.

    Raises:
        InvalidParameter: The processes cannot share the batches evenly.
        MissingInput: The optimiser is not installed.
        UserError: The gradient is not finite, or the processes have read different data or weights.
    """
    training = _Training(model, method, data, settings, seed, checkpoint, machine, section)
    training.prepare(store or FeatureStore())
    with accelerated(model, training.machine):
        training.restore()
        steps = range(training.done, settings.steps)
        bar = show_progress(steps, training.title, settings.steps, initial=training.done, unit="step")
        for step, (forget, retain) in zip(bar, training.batches(steps), strict=True):
            scalars = training.compute_gradients(step, forget, retain)
            scalars["gradient_norm"] = training.update_weights(step)
            if step + 1 == settings.steps or step % settings.log_every == 0:
                training.history.append({"step": step, **scalars})
                on_log(step, scalars)
                bar.set_postfix({name: f"{x:.3g}" for name, x in scalars.items() if "loss" in name})
            if step + 1 < settings.steps and (step + 1) % settings.checkpoint_every == 0:
                training.save(step + 1)
        training.keep_average()
    return training.history, training.finish()


class _Training(Generic[M]):
    """One call of ``train``: its inputs and its state."""

    def __init__(
        self,
        model: M,
        method: Method[M],
        data: TrainingData,
        settings: TrainingSettings,
        seed: int,
        checkpoint: Path | None,
        machine: MachineSettings,
        section: str | None,
    ):
        self.started, self.evaluations_before = time.perf_counter(), model.evaluations
        reset_peak_memory()
        self.model, self.method, self.data, self.settings = model, method, data, settings
        self.seed, self.checkpoint = seed, checkpoint
        self.title = section or method.name
        self.section = section or vars(type(method)).get("parameters", method.name)
        self.accelerator, self.machine = start_accelerator(settings, machine)
        # Both may refuse the settings: before a preparation that may take hours.
        self.share = share_of(self.accelerator, settings, self.section)
        key = f"optimiser of {self.section}"
        self.optimiser_class = optimiser_class(settings.optimiser, self.accelerator.device, key)
        self.fused = self.machine.fused and settings.optimiser == "adamw"

    def prepare(self, store: FeatureStore) -> None:
        """Run the method's preparation, and fingerprint the training."""
        self.model.recompute_activations(self.settings.gradient_checkpointing)
        self.method.prepare(self.model.to(self.accelerator.device).eval(), self.data, store, self.seed)
        self.prepared, self.evaluations_prepared = time.perf_counter(), self.model.evaluations
        self.preparation_seconds = self.prepared - self.started + store.reused_seconds
        arguments = (self.data, self.settings, self.machine, self.share.parts, self.seed)
        self.fingerprint = fingerprint_run(self.model, self.method, *arguments)

    def restore(self) -> None:
        """Set up optimiser, schedule and running mean, and continue from the checkpoint if there is one."""
        settings, parameters = self.settings, _freeze_all_but(self.model.train(), self.method.subset)
        options = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
        fused = {"fused": True} if self.fused else {}
        optimiser = self.optimiser_class(parameters.values(), **options, **fused)
        ema = None
        if settings.ema_decay:
            ema = EMAModel(parameters.values(), decay=settings.ema_decay, foreach=True)
        scale = LossScale(self.accelerator.mixed_precision == "fp16")
        self.state = State(parameters, optimiser, build_schedule(optimiser, settings), ema, scale)
        progress = Progress()
        if self.checkpoint:
            progress = load_checkpoint(self.checkpoint, self.fingerprint, self.state)
        self.done, self.history = progress.step, progress.history
        check_agreement(self.accelerator, self.title, self.fingerprint, self.done)
        if self.done:
            logger.info("%s continues from step %d of %d", self.title, self.done, settings.steps)
        self.seconds_before = progress.seconds
        self.model.count(progress.evaluations)

    def batches(self, steps: range) -> Iterator[tuple[Batch | None, Batch]]:
        """This process's share of the batches of ``steps``."""
        return encode_batches(
            self.model, self.data, self.settings, self.machine, self.share, steps, self.seed
        )

    def compute_gradients(self, step: int, forget: Batch | None, retain: Batch) -> Scalars:
        """Leave the mean gradient over all processes in ``.grad``; return what the method logs."""
        before, self.model.loss_scale = self.model.evaluations, self.state.scale.scale
        with self.accelerator.autocast():
            scalars = accumulate(self.model, self.method, forget, retain, self.seed, step, self.share)
        other_processes = self.accelerator.num_processes - 1
        self.model.count(other_processes * (self.model.evaluations - before))  # each evaluates as many
        return dict(average(self.accelerator, self.state.parameters.values(), scalars))

    def update_weights(self, step: int) -> float:
        """Clip the gradient and take the optimiser's step; return the gradient's norm before clipping.

        Raises:
            UserError: The gradient is not finite, and the loss scale cannot be halved any more.
        """
        state, settings = self.state, self.settings
        parameters = state.parameters.values()
        norm = float(self.accelerator.clip_grad_norm_(parameters, settings.max_grad_norm))
        finite = math.isfinite(norm)
        if not finite and state.scale.exhausted:
            raise UserError(
                f"{self.section}: the gradient is {norm} at step {step}: lower its learning_rate "
                f"(now {settings.learning_rate})"
            )
        if finite:
            if self.fused:
                match_layouts(parameters)
            state.optimiser.step()
        state.scale.update(finite)
        state.schedule.step()
        state.optimiser.zero_grad()
        if state.ema:
            state.ema.step(parameters)
        return norm

    def save(self, done: int) -> None:
        """Write the checkpoint after ``done`` steps, in the first process."""
        if self.checkpoint and rank() == 0:
            evaluations = self.model.evaluations - self.evaluations_prepared
            progress = Progress(done, self.history, evaluations, self._seconds())
            save_checkpoint(self.checkpoint, self.fingerprint, progress, self.state)

    def keep_average(self) -> None:
        """Replace the weights by their running mean, if there is one."""
        if self.state.ema:
            self.state.ema.copy_to(self.state.parameters.values())

    def finish(self) -> Cost:
        """Leave the model ready for use, without a checkpoint; return the cost."""
        self.model.loss_scale = 1.0
        self.model.recompute_activations(False)
        self.model.requires_grad_(True).eval()
        if self.checkpoint and rank() == 0:
            remove_checkpoint(self.checkpoint, self.fingerprint)
        return Cost(
            self.settings.steps,
            self.model.evaluations - self.evaluations_before,
            self.preparation_seconds + self._seconds(),
            peak_memory(self.model.device),
        )

    def _seconds(self) -> float:
        """Wall time of the steps, over all runs that they took."""
        return self.seconds_before + time.perf_counter() - self.prepared


def edit(model: M, method: ClosedForm[M], data: TrainingData) -> tuple[list[Scalars], Cost]:
    """Let a closed-form method change the weights in place.

    Args:
        model: The model to change.
        method: Changes the weights.
        data: The retain and the forget set.

    Returns:
        What the method returns as the only point of the curves, and the cost.
    """
    started, before = time.perf_counter(), model.evaluations
    reset_peak_memory()
    scalars = method.edit(model.eval(), data)
    seconds = time.perf_counter() - started
    cost = Cost(0, model.evaluations - before, seconds, peak_memory(model.device))
    return [{"step": 0, **scalars}], cost


def _freeze_all_but(model: Trainable, subset: str) -> dict[str, nn.Parameter]:
    """Require gradients of the parameters of ``subset`` alone; return them by name."""
    parameters = model.trainable(subset)
    model.requires_grad_(False)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    return parameters
