"""One method, one seed: trained and evaluated, or read if stored from the same inputs."""

import copy
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from erasediff_pipeline.config.base import Settings
from erasediff_pipeline.data.image_files import load_images, save_images
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.diffusion.io import ModelWithHistory, load_model, save_model
from erasediff_pipeline.diffusion.pipelines import fingerprint_pipeline
from erasediff_pipeline.evaluation.bench import Bench, describe_task
from erasediff_pipeline.evaluation.judge import build_judge
from erasediff_pipeline.evaluation.measure import (
    evaluate_model,
    measure_membership,
    sample_model,
    sample_unguided,
)
from erasediff_pipeline.evaluation.metrics import Metrics
from erasediff_pipeline.experiments.comparison import COSTS
from erasediff_pipeline.experiments.store import TrialStore
from erasediff_pipeline.fingerprint import describe_inputs, hash_json
from erasediff_pipeline.unlearning.erase import Erased, erase
from erasediff_pipeline.unlearning.registry import METHODS
from erasediff_pipeline.workspace import Workspace

logger = logging.getLogger(__name__)


class Evaluated(NamedTuple):
    """A model's samples and metrics."""

    samples: LabelledImages
    metrics: Metrics


class Trial(NamedTuple):
    """A method, trained with one seed and measured."""

    row: dict[str, Any]
    """``method``, ``seed``, every metric and cost, and ``forget_images``."""

    samples: LabelledImages
    curves: pd.DataFrame | None
    """None for the base model."""


def try_base(bench: Bench, store: TrialStore, seed: int) -> Trial:
    """Evaluate the base model with the noise of this seed.

    Args:
        bench: Base model, task, classifier, and settings of sampling and evaluation.
        store: Keeps the result.
        seed: Top-level seed.

    Returns:
        The trial ``base``, without costs and curves.
    """
    evaluated = evaluate_trial(bench, store, "base", bench.base_model, seed)
    return Trial(_row(bench, "base", seed, evaluated, dict.fromkeys(COSTS)), evaluated.samples, None)


def try_method(
    bench: Bench, store: TrialStore, workspace: Workspace, method: str, settings: Settings, seed: int
) -> Trial:
    """Train a method and evaluate it, or read both results if the store has them.

    Args:
        bench: Base model, task, classifier, and settings of sampling and evaluation.
        store: Keeps model and metrics.
        workspace: Folders of checkpoints and features.
        method: A key of ``METHODS``.
        settings: Settings of the method's own type.
        seed: Top-level seed.

    Returns:
        Metrics, costs, samples and curves.

    Raises:
        UserError: As ``erase``.
    """
    trained = train_trial(bench, store, workspace, method, settings, seed)
    evaluated = evaluate_trial(bench, store, method, trained.model, seed)
    row = _row(bench, method, seed, evaluated, {name: trained.cost[name] for name in COSTS})
    return Trial(row, evaluated.samples, trained.curves)


def _row(bench: Bench, method: str, seed: int, evaluated: Evaluated, costs: dict[str, Any]) -> dict[str, Any]:
    about = {"method": method, "seed": seed, "forget_images": bench.task.request.forget_images}
    return {**about, **evaluated.metrics, **costs}


def train_trial(
    bench: Bench, store: TrialStore, workspace: Workspace, method: str, settings: Settings, seed: int
) -> Erased:
    """Erase by ``method``, or read the result if the store has it.

    Args:
        bench: Base model and task; the base model does not change.
        store: Keeps the result.
        workspace: Folders of checkpoints and features.
        method: A key of ``METHODS``.
        settings: Settings of the method's own type.
        seed: Top-level seed.

    Returns:
        The erased model, its curves and its cost.

    Raises:
        UserError: As ``erase``.
    """
    made_from = describe_inputs(
        "data",
        "training",
        *METHODS[method].components,
        versions={method: METHODS[method].version},
        settings=settings.model_dump(mode="json"),
        seed=seed,
        base_model_sha256=fingerprint_pipeline(bench.base_model.pipeline),
        **describe_task(bench.task),
    )

    def make() -> Erased:
        # Training changes the weights; the next seed needs those of the base model.
        return erase(method, copy.deepcopy(bench.base_model), bench.task, settings, seed, workspace)

    place = trial_folder(bench.task.request, method, seed, "trained")
    return store.once(place, made_from, make, _save_trained, _load_trained)


def evaluate_trial(
    bench: Bench, store: TrialStore, method: str, model: ModelWithHistory, seed: int
) -> Evaluated:
    """Sample and measure a model, or read the result if the store has it.

    Args:
        bench: Task, classifier, and settings of sampling and evaluation.
        store: Keeps samples and metrics.
        method: Name of the method, or ``base``.
        model: The model to measure.
        seed: Top-level seed.

    Returns:
        Samples ``[N, C, H, W]`` uint8 with the classes of their conditions; and the metrics, see
        ``evaluate_model``.
    """

    def make() -> Evaluated:
        drawing = (bench.task, bench.sampling, bench.evaluation, seed)
        samples = sample_model(model.pipeline, *drawing, f"sample {method}")
        unguided = sample_unguided(model.pipeline, samples, *drawing, f"sample {method}, no guidance")
        membership = measure_membership(model.pipeline, *drawing[:-1])
        judge = build_judge(bench.classifier, bench.task.real, bench.evaluation)
        roles = bench.task.plan(bench.evaluation)["role"].to_numpy()
        seen = judge.look(samples), judge.look(unguided)
        return Evaluated(samples, evaluate_model(*seen, membership, roles, judge))

    place = trial_folder(bench.task.request, method, seed, "judged")
    made_from = bench.describe_measuring(model, seed, "evaluation")
    return store.once(place, made_from, make, _save_evaluated, _load_evaluated)


def trial_folder(request: Request, method: str, seed: int, part: str) -> str:
    """Return the folder of one trial in the store: method, class and seed."""
    concerned = "-".join(str(label) for label in request.classes)
    if request.keeps_classes:
        concerned += f"-ids-{request.forget_sha256[:8]}"
    if request.names_words:  # others may mean the same class
        words = request.model_dump(include={"prompts", "templates", "anchor_prompt"})
        concerned += f"-prompts-{hash_json(words)[:8]}"
    return f"{method}/class-{concerned}-seed-{seed}/{part}"


def _save_trained(folder: Path, trained: Erased) -> None:
    save_model(trained.model, folder / "model")
    trained.curves.to_csv(folder / "curves.csv", index=False, float_format="%.6g")
    (folder / "cost.json").write_text(json.dumps(trained.cost, indent=2) + "\n")


def _load_trained(folder: Path) -> Erased:
    curves = pd.read_csv(folder / "curves.csv")
    return Erased(load_model(folder / "model"), curves, json.loads((folder / "cost.json").read_text()))


def _save_evaluated(folder: Path, evaluated: Evaluated) -> None:
    save_images(evaluated.samples, folder / "samples")
    (folder / "metrics.json").write_text(json.dumps(evaluated.metrics, indent=2, sort_keys=True) + "\n")


def _load_evaluated(folder: Path) -> Evaluated:
    return Evaluated(load_images(folder / "samples"), json.loads((folder / "metrics.json").read_text()))
