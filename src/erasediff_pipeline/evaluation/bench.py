"""The common part of all measurements on one request."""

import hashlib
from dataclasses import dataclass
from typing import Any

import pandas as pd

from erasediff_pipeline.config import CaptionSettings, EvaluationSettings, ForgetRequest, SamplingSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.data.task import ForgetTask, build_task
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import fingerprint_pipeline
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.fingerprint import describe_inputs
from erasediff_pipeline.hashing import hash_images, hash_weights


@dataclass(frozen=True)
class Bench:
    """Base model, task, classifier, and settings of sampling and evaluation."""

    base_model: ModelWithHistory
    task: ForgetTask
    classifier: AnyClassifier
    sampling: SamplingSettings
    evaluation: EvaluationSettings

    def describe_measuring(
        self, model: ModelWithHistory, seed: int, *components: str, **more: Any
    ) -> dict[str, Any]:
        """Describe all inputs of a model's metrics, as plain JSON.

        Args:
            model: The measured model.
            seed: Top-level seed.
            components: Keys of ``fingerprint.VERSIONS``, besides ``data`` and ``sampling``.
            more: Further inputs.
        """
        return describe_inputs(
            "data",
            "sampling",
            *components,
            model_sha256=fingerprint_pipeline(model.pipeline),
            seed=seed,
            classifier_sha256=hash_weights(self.classifier),
            sampling=self.sampling.model_dump(mode="json"),
            evaluation=self.evaluation.model_dump(mode="json"),
            **describe_task(self.task),
            **more,
        )


def build_bench(
    base_model: ModelWithHistory,
    images: LabelledImages,
    manifest: pd.DataFrame,
    asked: ForgetRequest,
    captions: CaptionSettings,
    classifier: AnyClassifier,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
) -> tuple[Bench, pd.DataFrame, Request, pd.DataFrame]:
    """Resolve the request, and collect what every model is measured with.

    Args:
        base_model: The base model, with the requests that it has answered.
        images: All images.
        manifest: One row per image.
        asked: The request.
        captions: Words and sentences, if conditions are prompts.
        classifier: Assigns samples to classes.
        sampling: Sampler, steps, guidance and batch size.
        evaluation: Sample counts, and settings of FID and membership.

    Returns:
        The bench; and split, request and conditions to save, see ``ForgetTask``.

    Raises:
        InvalidRequest: The request does not fit the data; see ``split_by_request``.
    """
    task = build_task(images, manifest, asked, captions, base_model.history)
    return (
        Bench(base_model, task, classifier, sampling, evaluation),
        task.split,
        task.request,
        task.conditions,
    )


def describe_task(task: ForgetTask) -> dict[str, Any]:
    """Describe all inputs of a method, as plain JSON: kind of request, and hashes of sets and conditions."""
    columns = [name for name in ("label", "split", "prompt") if name in task.manifest]
    asked = [task.conditions.to_csv(), task.manifest[columns].to_csv(), task.request.anchor_prompt or ""]
    return {
        "by": task.request.by,
        "forget_sha256": task.request.forget_sha256,
        "retain_sha256": task.request.retain_sha256,
        "images_sha256": hash_images(task.images),
        "conditions_sha256": hashlib.sha256("\0".join(asked).encode()).hexdigest(),
    }
