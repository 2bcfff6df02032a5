"""Sample a model and measure it, the same way for every model."""

from typing import Any

import torch
from diffusers import DiffusionPipeline

from erasediff_pipeline.config import EvaluationSettings, SamplingSettings
from erasediff_pipeline.data.conditions import ERASE, SYNONYM
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.task import ForgetTask
from erasediff_pipeline.diffusion.pipelines import model_of
from erasediff_pipeline.diffusion.sampling import draw_samples
from erasediff_pipeline.evaluation.classifiers.pretrained import Judge
from erasediff_pipeline.evaluation.membership import denoising_losses, membership_auc
from erasediff_pipeline.evaluation.metrics import Metrics, evaluate_samples, round_metrics
from erasediff_pipeline.seeding import derive_seed


def sample_model(
    pipeline: DiffusionPipeline,
    task: ForgetTask,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
    seed: int,
    title: str,
) -> LabelledImages:
    """Draw the images to measure: the same conditions and the same noise for every model.

    Args:
        title: Of the progress bar.
    """
    plan = task.plan(evaluation)
    numbers = torch.tensor(plan["number"].to_numpy())
    model = model_of(pipeline, task.prompts)
    drawn = draw_samples(model, numbers, derive_seed(seed, "evaluation"), sampling, title)
    return LabelledImages(drawn, plan["label"].to_numpy())


def measure_membership(
    pipeline: DiffusionPipeline,
    task: ForgetTask,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
    seed: int,
) -> Metrics:
    """Membership AUC of the forgotten images; None if whole classes are forgotten."""
    if not task.request.keeps_classes:
        return {"forget_membership_auc": None}
    model, noise = model_of(pipeline, task.prompts), derive_seed(seed, "evaluation")
    members, unseen = (
        denoising_losses(model, images, evaluation, noise, sampling.batch_size)
        for images in (task.forget, task.unseen())
    )
    return {"forget_membership_auc": membership_auc(members, unseen)}


def evaluate_model(
    samples: LabelledImages,
    membership: Metrics,
    task: ForgetTask,
    classifier: Judge,
    evaluation: EvaluationSettings,
) -> Metrics:
    """Compute all metrics of one model, rounded."""
    roles = task.plan(evaluation)["role"].to_numpy()
    return round_metrics(
        {**evaluate_samples(samples, roles, task.real, classifier, evaluation), **membership}
    )


def collect_metrics(
    method: str, task: ForgetTask, base: Metrics, erased: Metrics, evaluation: EvaluationSettings
) -> dict[str, Any]:
    """Collect ``metrics.json``: the method, the request, before and after."""
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
