"""Images drawn from a list of prompts, stored one by one."""

import pandas as pd
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from erasediff_pipeline.config import (
    CaptionSettings,
    EvaluationSettings,
    PromptListSettings,
    SamplingSettings,
)
from erasediff_pipeline.data.folder import read_image
from erasediff_pipeline.data.image_store import ImageStore
from erasediff_pipeline.data.prompt_list import find_images
from erasediff_pipeline.diffusion.pipelines import fingerprint_pipeline, model_of
from erasediff_pipeline.diffusion.sampling import sample_batch
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.evaluation.features import FeatureExtractor, build_extractor
from erasediff_pipeline.evaluation.fidelity import fidelity
from erasediff_pipeline.evaluation.metrics import Metrics
from erasediff_pipeline.evaluation.prompt_images import build_measures, in_batches, measure_batches
from erasediff_pipeline.fingerprint import fingerprint
from erasediff_pipeline.progress import show_progress

IMAGES_AT_ONCE = 32
"""Images in memory when they are measured."""


def draw_prompts(
    pipeline: StableDiffusionPipeline,
    prompt_list: pd.DataFrame,
    store: ImageStore,
    sampling: SamplingSettings,
    settings: PromptListSettings,
    title: str,
) -> list[str]:
    """Draw the images that the store lacks, each row with its own seed and guidance.

    Args:
        pipeline: The model.
        prompt_list: From ``read_prompt_list``.
        store: Keeps the images.
        sampling: Sampler, steps and batch size.
        settings: Whether long prompts are cut.
        title: Title of the progress bar.

    Returns:
        The place of each row's image in the store.
    """
    drawn_by = {
        "model": fingerprint_pipeline(pipeline),
        "sampling": sampling.model_dump(include={"sampler", "steps"}),
        "truncate": settings.truncate,
    }
    folder = fingerprint("sampling", drawn_by=drawn_by)[:12]  # one folder per model
    places = [f"{folder}/{case:06d}.png" for case in prompt_list["case_number"]]
    decides = prompt_list[["prompt", "seed", "guidance_scale"]]
    notes = [fingerprint("sampling", drawn_by=drawn_by, row=row) for row in decides.to_dict("records")]

    def draw(batch: list[int]) -> Tensor:
        rows = prompt_list.iloc[batch]
        guided = sampling.model_copy(update={"guidance_scale": rows["guidance_scale"].iloc[0]})
        return draw_rows(pipeline, rows, guided, settings)

    by_guidance = prompt_list.groupby("guidance_scale", sort=False).indices
    groups = [[int(row) for row in by_guidance[w]] for w in dict.fromkeys(prompt_list["guidance_scale"])]
    store.fill(places, notes, draw, groups, sampling.batch_size, title)
    return places


def draw_rows(
    pipeline: StableDiffusionPipeline,
    rows: pd.DataFrame,
    sampling: SamplingSettings,
    settings: PromptListSettings,
) -> Tensor:
    """Draw one image per row, from the noise that diffusers draws for the row's seed.

    Args:
        pipeline: The model.
        rows: ``prompt`` and ``seed`` of N images.
        sampling: Sampler, steps and guidance.
        settings: Whether long prompts are cut.

    Returns:
        Images ``[N, 3, H, W]`` uint8 on the CPU.
    """
    model = model_of(pipeline, list(rows["prompt"]), truncate=settings.truncate).eval()
    generators = [torch.Generator().manual_seed(seed) for seed in rows["seed"]]
    return sample_batch(model, torch.arange(len(rows)), generators, sampling)


def measure_images(
    store: ImageStore,
    places: list[str],
    prompt_list: pd.DataFrame,
    classifier: AnyClassifier,
    settings: PromptListSettings,
    captions: CaptionSettings,
) -> pd.DataFrame:
    """Measure each image alone; one row per image, with the columns of ``prompts.measures``."""
    looks = build_measures(settings, classifier, captions)
    batches = in_batches(lambda row: store.load(places[row]), len(places), IMAGES_AT_ONCE)
    return measure_batches(
        show_progress(batches, "classify", -(-len(places) // IMAGES_AT_ONCE), unit="batch"),
        prompt_list,
        looks,
    )


def measure_fidelity(
    store: ImageStore,
    places: list[str],
    base_places: list[str],
    classifier: AnyClassifier,
    settings: PromptListSettings,
    evaluation: EvaluationSettings,
) -> Metrics:
    """Compute FID, precision and recall of a model's images, compared with real or the base model's images.

    Args:
        store: The drawn images.
        places: Place of each image of the model.
        base_places: Place of each image of the base model.
        classifier: Extracts features for ``evaluation.fid_backend: classifier``.
        settings: Whether ``fid`` is measured, and the folder of real images.
        evaluation: Backend, and k of precision and recall.

    Returns:
        ``fid``, ``precision`` and ``recall``, see ``fidelity``; ``fid_backend``, ``fid_weights_sha256``,
        ``fid_against`` and ``real_images``. Empty if ``fid`` is not measured, or if a model would be compared
        with itself.

    Raises:
        InvalidParameter: The classifier has no features.
        MissingInput: The extractor is not installed, or the folder has no image.
        ValueError: There are no more images than ``precision_neighbours``.
    """
    if "fid" not in settings.measures or (settings.real is None and places == base_places):
        return {}
    extractor = build_extractor(evaluation.fid_backend, classifier)
    drawn = _stored_features(extractor, store, places)
    if settings.real is None:
        real = _stored_features(extractor, store, base_places)
    else:
        files, side = find_images(settings.real), store.load(places[0]).shape[-1]
        batches = in_batches(lambda row: read_image(files[row], side), len(files), IMAGES_AT_ONCE)
        real = torch.cat([extractor(batch) for batch in batches])
    return {
        **fidelity(drawn, real, evaluation.precision_neighbours),
        "fid_backend": extractor.name,
        "fid_weights_sha256": extractor.weights_sha256,
        "fid_against": "the base model" if settings.real is None else settings.real,
        "real_images": len(real),
    }


def _stored_features(extractor: FeatureExtractor, store: ImageStore, places: list[str]) -> Tensor:
    """Compute features ``[N, D]`` of stored images, a batch at a time."""
    batches = in_batches(lambda row: store.load(places[row]), len(places), IMAGES_AT_ONCE)
    return torch.cat([extractor(batch) for batch in batches])
