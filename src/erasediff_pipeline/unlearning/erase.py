"""Erase the forget set of a task by a method of the registry."""

from dataclasses import asdict
from typing import Any, NamedTuple

import pandas as pd

from erasediff_pipeline.config import MachineSettings
from erasediff_pipeline.data.task import ForgetTask
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import hash_pipeline, model_of
from erasediff_pipeline.training.loop import PLAIN, OnLog, edit, train
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.registry import METHODS
from erasediff_pipeline.workspace import Workspace


class Erased(NamedTuple):
    """What erasing returns."""

    model: ModelWithHistory
    curves: pd.DataFrame
    """One row per logged step: ``step`` and what the method logs."""

    cost: dict[str, Any]
    """``steps``, ``denoiser_evaluations``, ``wall_seconds``, ``peak_memory_bytes``."""


def erase(
    method: str,
    start: ModelWithHistory,
    task: ForgetTask,
    settings: Any,
    seed: int,
    workspace: Workspace,
    machine: MachineSettings = PLAIN,
    on_log: OnLog = lambda step, scalars: None,
) -> Erased:
    """Unlearn the forget set.

    Args:
        method: Key of ``METHODS``.
        start: The model; its weights change, so pass a copy if they are needed again.
        task: The request on its data.
        settings: Settings of the method's own type.
        seed: Seed of every random draw.
        workspace: Folders of the checkpoint and of the method's reusable results.
        machine: How to train faster.
        on_log: Called with step and scalars of each logged point.

    Returns:
        The erased model with its request history, its curves and its cost.

    Raises:
        InvalidRequest: The method does not work for this request.
        InvalidParameter: A setting does not fit the model, the device or the processes.
        MissingInput: The optimiser is not installed.
        UserError: The gradient is not finite, or the processes have read different data.
    """
    entry = METHODS[method]
    answered = task.request.answered(method, hash_pipeline(start.pipeline), task.forget_ids)
    model = model_of(start.pipeline, task.prompts)
    unseen = task.unseen_retained() if task.request.keeps_classes else None
    data = TrainingData(task.retain, task.forget, task.forgotten_before, task.anchor, unseen)
    built = entry.build(settings)
    if entry.closed_form:
        history, cost = edit(model, built, data)
    else:
        store = FeatureStore(
            workspace.features(method), workspace.checkpoint, entry.version, entry.components
        )
        place = workspace.checkpoint(method)
        history, cost = train(model, built, data, settings, seed, place, on_log, store, machine)
    erased = ModelWithHistory(model.to_pipeline(), (*start.history, answered), start.trained_on)
    return Erased(erased, pd.DataFrame(history), asdict(cost))
