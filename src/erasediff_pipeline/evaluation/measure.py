"""Sample a model and measure it, the same way for every model."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from diffusers import DiffusionPipeline

from erasediff_pipeline.config import EvaluationSettings, SamplingSettings
from erasediff_pipeline.data.conditions import ERASE, RETAIN, SYNONYM
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.task import ForgetTask
from erasediff_pipeline.diffusion.pipelines import model_of
from erasediff_pipeline.diffusion.sampling import draw_samples
from erasediff_pipeline.evaluation.judge import Judge, Seen
from erasediff_pipeline.evaluation.membership import membership_auc, proximal_errors
from erasediff_pipeline.evaluation.metrics import (
    Metrics,
    evaluate_retained,
    evaluate_samples,
    round_metrics,
)
from erasediff_pipeline.seeding import derive_seed


class Drawn(NamedTuple):
    """Images that were drawn before, of fewer samples."""

    images: LabelledImages
    evaluation: EvaluationSettings


def sample_model(
    pipeline: DiffusionPipeline,
    task: ForgetTask,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
    seed: int,
    title: str,
    drawn: Drawn | None = None,
) -> LabelledImages:
    """Draw the images to measure: the same conditions and the same noise for every model.

    The noise of an image is that of its condition and its number, so it depends on no other image.

    Args:
        pipeline: The model.
        task: Conditions of the request.
        sampling: Sampler, steps, guidance and batch size.
        evaluation: Images per class.
        seed: Top-level seed.
        title: Title of the progress bar.
        drawn: Images that need not be drawn again.

    Returns:
        Images ``[N, C, H, W]`` uint8, in the order of ``task.plan``; a label is the class of the condition.
    """
    return _draw(pipeline, task, None, sampling, evaluation, derive_seed(seed, "evaluation"), title, drawn)


def sample_unguided(
    pipeline: DiffusionPipeline,
    samples: LabelledImages,
    task: ForgetTask,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
    seed: int,
    title: str,
    drawn: Drawn | None = None,
) -> LabelledImages:
    """Draw the retained classes without guidance, see ``draw_retained``.

    Guidance pushes samples to where the classifier recognises them, so it hides damage to the model.

    Args:
        pipeline: The model.
        samples: From ``sample_model``; if ``sampling`` has no guidance, nothing is drawn again.
        task: Conditions of the request.
        sampling: Sampler, steps and batch size; its guidance is not used.
        evaluation: Images per class.
        seed: Top-level seed.
        title: Title of the progress bar.
        drawn: Images that need not be drawn again.

    Returns:
        Images ``[N, C, H, W]`` uint8 of the retained rows of ``task.plan``; a label is the class of the
        condition.
    """
    if sampling.guidance_scale == 0:
        return samples.select(retained_rows(task, evaluation))
    plain = sampling.model_copy(update={"guidance_scale": 0.0})
    return draw_retained(pipeline, task, plain, evaluation, seed, title, drawn)


def draw_retained(
    pipeline: DiffusionPipeline,
    task: ForgetTask,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
    seed: int,
    title: str,
    drawn: Drawn | None = None,
) -> LabelledImages:
    """Draw the retained classes, from the same noise for every model and every guidance scale.

    Args:
        pipeline: The model.
        task: Conditions of the request.
        sampling: Sampler, steps, guidance and batch size.
        evaluation: Images per class.
        seed: Top-level seed.
        title: Title of the progress bar.
        drawn: Images that need not be drawn again.

    Returns:
        Images ``[N, C, H, W]`` uint8 of the retained rows of ``task.plan``; a label is the class of the
        condition.
    """
    noise_seed = derive_seed(seed, "retained evaluation")
    return _draw(pipeline, task, RETAIN, sampling, evaluation, noise_seed, title, drawn)


def retained_rows(task: ForgetTask, evaluation: EvaluationSettings) -> np.ndarray:
    """Which rows of ``task.plan`` are of retained conditions, ``[N]`` bool."""
    return (task.plan(evaluation)["role"] == RETAIN).to_numpy()


def _draw(
    pipeline: DiffusionPipeline,
    task: ForgetTask,
    role: str | None,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
    noise_seed: int,
    title: str,
    drawn: Drawn | None,
) -> LabelledImages:
    """Draw the rows of the plan, or those of one role, that were not drawn before."""

    def plan_of(counts: EvaluationSettings) -> pd.DataFrame:
        rows = task.plan(counts)
        return (rows if role is None else rows[rows["role"] == role]).set_index(["role", "label", "draw"])

    plan = plan_of(evaluation)
    new = ~plan.index.isin(plan_of(drawn.evaluation).index) if drawn else np.ones(len(plan), bool)
    numbers, names = torch.tensor(plan["number"].to_numpy()[new]), list(plan.index[new])
    images = draw_samples(model_of(pipeline, task.prompts), numbers, noise_seed, sampling, title, names)
    if drawn:
        every = np.empty((len(plan), *images.shape[1:]), np.uint8)
        every[new], every[~new] = images, np.asarray(drawn.images.images)
        images = every
    return LabelledImages(images, plan.index.get_level_values("label").to_numpy())


def measure_membership(
    pipeline: DiffusionPipeline,
    task: ForgetTask,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
) -> Metrics:
    """Compute the membership AUC of the forgotten images; see ``proximal_errors`` and ``membership_auc``.

    Args:
        pipeline: The model.
        task: Its forget set, and the unseen images of the same classes.
        sampling: ``batch_size`` is used.
        evaluation: ``membership_time`` is used.

    Returns:
        ``forget_membership_auc``, in [0, 1]; None if whole classes are forgotten.
    """
    if not task.request.keeps_classes:
        return {"forget_membership_auc": None}
    model = model_of(pipeline, task.prompts)
    members, unseen = (
        proximal_errors(model, images, evaluation, sampling.batch_size)
        for images in (task.forget, task.unseen())
    )
    return {"forget_membership_auc": membership_auc(members, unseen)}


def evaluate_model(
    seen: Seen, unguided: Seen, membership: Metrics, roles: np.ndarray, judge: Judge
) -> Metrics:
    """Compute all metrics of one model, rounded.

    Args:
        seen: The samples of ``sample_model``.
        unguided: Those of ``sample_unguided``.
        membership: From ``measure_membership``.
        roles: Of the samples, the column of ``task.plan``.
        judge: What they are measured with.

    Returns:
        One model's part of ``metrics.json``, see ``evaluate_samples``; ``unguided`` has the figures of
        ``evaluate_retained``.
    """
    return round_metrics(
        {
            **evaluate_samples(seen, roles, judge),
            **membership,
            "unguided": evaluate_retained(unguided, judge),
        }
    )


def collect_metrics(
    method: str, task: ForgetTask, base: Metrics, erased: Metrics, evaluation: EvaluationSettings
) -> dict[str, Any]:
    """Collect ``metrics.json``.

    Args:
        method: The method that made the erased model.
        task: The request.
        base: Metrics of the base model.
        erased: Metrics of the erased model.
        evaluation: Sample counts.

    Returns:
        ``method``, ``forget`` (the request), ``base`` and ``erased``; for a request by prompts the last two
        also have the counts of :func:`count_prompt_samples`.
    """
    counts = count_prompt_samples(task, evaluation)
    return {
        "method": method,
        "forget": task.request.to_json(),
        "base": base | counts,
        "erased": erased | counts,
    }


def count_prompt_samples(task: ForgetTask, evaluation: EvaluationSettings) -> dict[str, int]:
    """Count samples under erased prompts and under synonyms; empty for a request without prompts."""
    roles = task.plan(evaluation)["role"].value_counts()
    keys = {ERASE: "erased_prompt_samples", SYNONYM: "synonym_samples"}
    return {key: int(roles[role]) for role, key in keys.items() if role in roles}
