"""One method, one seed: trained and judged, or read where that has been done from the same inputs."""

import copy
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from diffusers import DiffusionPipeline

from erasediff_pipeline.catalog import DiffusersDirectory, LabelledImagesDataset, TrialStore
from erasediff_pipeline.config import (
    EvaluationSettings,
    PretrainSettings,
    SamplingSettings,
    TrainingSettings,
)
from erasediff_pipeline.config.base import Settings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.pipelines import fingerprint_pipeline
from erasediff_pipeline.evaluation.classifiers.pretrained import Judge
from erasediff_pipeline.evaluation.metrics import Metrics
from erasediff_pipeline.experiments.code import hash_source
from erasediff_pipeline.hashing import hash_images, hash_weights
from erasediff_pipeline.pipelines.unlearn import nodes
from erasediff_pipeline.unlearning.registry import METHODS

TRAINING_CODE = (
    "erasediff_pipeline.training.loop",
    "erasediff_pipeline.diffusion.pipelines",
    "erasediff_pipeline.data.conditions",
    "erasediff_pipeline.data.request",
    # Whose defaults a replay and a proxy are made with.
    SamplingSettings,
    PretrainSettings,
    TrainingSettings,
    nodes.erase_with,
)
JUDGING_CODE = (
    "erasediff_pipeline.diffusion.pipelines",
    "erasediff_pipeline.diffusion.sampling",
    "erasediff_pipeline.evaluation.membership",
    "erasediff_pipeline.evaluation.metrics",
    "erasediff_pipeline.data.request",
    nodes.draw_from,
    nodes.measure_membership,
    nodes.evaluate_model,
)
"""With what it imports, and the method's own module: where that changes, trials are made anew."""


@dataclass(frozen=True)
class Bench:
    """What is the same for every method."""

    store: TrialStore
    base_model: DiffusionPipeline
    images: LabelledImages
    manifest: pd.DataFrame
    split: pd.DataFrame
    request: dict[str, Any]
    conditions: pd.DataFrame
    classifier: Judge
    sampling: SamplingSettings
    evaluation: EvaluationSettings

    @property
    def conditions_sha256(self) -> str:
        """Of what is asked, what for, and which image stands under which of it."""
        described = self.manifest[[c for c in ("label", "split", "prompt") if c in self.manifest]]
        asked = [self.conditions.to_csv(), described.to_csv(), self.request.get("anchor_prompt", "")]
        return hashlib.sha256("\0".join(asked).encode()).hexdigest()

    def place(self, method: str, seed: int, part: str) -> str:
        """The folder of one trial, readable by people."""
        concerned = "-".join(str(label) for label in self.request["classes"])
        if self.request["by"] == "ids":
            concerned += f"-ids-{self.request['forget_sha256'][:8]}"
        return f"{method}/class-{concerned}-seed-{seed}/{part}"

    def made_from(self, model: DiffusionPipeline, seed: int) -> dict[str, Any]:
        """What decides what is measured of a model, beside code: plain JSON."""
        return {
            "model_sha256": fingerprint_pipeline(model),
            "seed": seed,
            "forget_sha256": self.request["forget_sha256"],
            "retain_sha256": self.request["retain_sha256"],
            "by": self.request["by"],
            "classifier_sha256": hash_weights(self.classifier),
            "sampling": self.sampling.model_dump(mode="json"),
            "evaluation": self.evaluation.model_dump(mode="json"),
            "images_sha256": hash_images(self.images),
            "conditions_sha256": self.conditions_sha256,
        }


class Trained(NamedTuple):
    """A model, and how it came about."""

    model: DiffusionPipeline
    curves: pd.DataFrame
    cost: dict[str, Any]


class Judged(NamedTuple):
    """What a model draws, and what that is worth."""

    samples: LabelledImages
    metrics: Metrics


def train_trial(bench: Bench, method: str, settings: Settings, seed: int) -> Trained:
    """Erase by ``method``, unless the store holds just that."""
    erase = nodes.erase_with(method, on_log=lambda step, scalars: None)
    made_from = {
        "method": method,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "base_model_sha256": fingerprint_pipeline(bench.base_model),
        "forget_sha256": bench.request["forget_sha256"],
        "retain_sha256": bench.request["retain_sha256"],
        "images_sha256": hash_images(bench.images),
        "conditions_sha256": bench.conditions_sha256,
        "code_sha256": hash_source(*TRAINING_CODE, METHODS[method].build.__module__),
    }

    def make() -> Trained:
        # Training moves the weights that it is given, and the next seed needs the base model's again.
        base = copy.deepcopy(bench.base_model)
        b = bench
        return Trained(*erase(base, b.images, b.manifest, b.split, b.request, b.conditions, settings, seed))

    return bench.store.once(bench.place(method, seed, "trained"), made_from, make, save_trained, load_trained)


def judge_trial(bench: Bench, method: str, model: DiffusionPipeline, seed: int) -> Judged:
    """Sample and measure, unless the store holds just that."""
    made_from = {**bench.made_from(model, seed), "code_sha256": hash_source(*JUDGING_CODE)}

    def make() -> Judged:
        b = bench
        samples = nodes.draw_from(method)(model, b.conditions, b.sampling, b.evaluation, seed)
        membership = nodes.measure_membership(
            model, b.images, b.manifest, b.split, b.request, b.conditions, b.sampling, b.evaluation, seed
        )
        metrics = nodes.evaluate_model(
            samples, membership, b.images, b.manifest, b.split, b.conditions, b.classifier, b.evaluation
        )
        return Judged(samples, metrics)

    return bench.store.once(bench.place(method, seed, "judged"), made_from, make, save_judged, load_judged)


def save_trained(folder: Path, trained: Trained) -> None:
    DiffusersDirectory(str(folder / "model"), "diffusers.DiffusionPipeline").save(trained.model)
    trained.curves.to_csv(folder / "curves.csv", index=False, float_format="%.6g")
    (folder / "cost.json").write_text(json.dumps(trained.cost, indent=2) + "\n")


def load_trained(folder: Path) -> Trained:
    model = DiffusersDirectory(str(folder / "model"), "diffusers.DiffusionPipeline").load()
    curves = pd.read_csv(folder / "curves.csv")
    return Trained(model, curves, json.loads((folder / "cost.json").read_text()))


def save_judged(folder: Path, judged: Judged) -> None:
    LabelledImagesDataset(str(folder / "samples")).save(judged.samples)
    (folder / "metrics.json").write_text(json.dumps(judged.metrics, indent=2, sort_keys=True) + "\n")


def load_judged(folder: Path) -> Judged:
    samples = LabelledImagesDataset(str(folder / "samples")).load()
    return Judged(samples, json.loads((folder / "metrics.json").read_text()))
