"""Nodes of ``prompts``: a list of prompts in, images out, each judged."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from erasediff_pipeline.catalog import ImageStore, history_of
from erasediff_pipeline.config import (
    CaptionSettings,
    EvaluationSettings,
    PromptListSettings,
    ReportSettings,
    SamplingSettings,
)
from erasediff_pipeline.data.folder import read_image
from erasediff_pipeline.data.prompt_list import find_images, first_of_each, read_prompt_list, words_forgotten
from erasediff_pipeline.diffusion.pipelines import fingerprint_pipeline, hash_pipeline, model_of
from erasediff_pipeline.diffusion.sampling import sample_batch
from erasediff_pipeline.evaluation.classifiers.pretrained import Judge
from erasediff_pipeline.evaluation.features import FeatureExtractor, build_extractor
from erasediff_pipeline.evaluation.fidelity import fidelity
from erasediff_pipeline.evaluation.metrics import Metrics, round_metrics
from erasediff_pipeline.evaluation.prompt_images import (
    build_looks,
    in_batches,
    look_at,
    summarise_images,
)
from erasediff_pipeline.experiments.code import hash_source
from erasediff_pipeline.hashing import hash_weights
from erasediff_pipeline.pipelines.unlearn.nodes import MlflowMetrics, numbers_of
from erasediff_pipeline.reporting.figures import draw_note, draw_pairs

DRAWING_CODE = ("erasediff_pipeline.diffusion.sampling", "erasediff_pipeline.diffusion.text_to_image")
AT_ONCE = 32
"""Images in memory when they are looked at."""


def read_list(settings: PromptListSettings, sampling: SamplingSettings, seed: int) -> pd.DataFrame:
    """The rows to draw, see ``data.prompt_list``."""
    assert settings.file is not None
    return read_prompt_list(settings.file, seed, sampling.guidance_scale, settings.limit)


def draw_from(which: str) -> Callable:
    """The node that draws the list from one model; the progress bar says ``which``."""

    def draw(
        pipeline: StableDiffusionPipeline,
        prompt_list: pd.DataFrame,
        store: ImageStore,
        sampling: SamplingSettings,
        settings: PromptListSettings,
    ) -> list[str]:
        """Draw what is not in the store yet; return where each row's image is in it."""
        drawn_by = {
            "model": fingerprint_pipeline(pipeline),
            "sampling": sampling.model_dump(include={"sampler", "steps"}),
            "truncate": settings.truncate,
            "code": hash_source(*DRAWING_CODE),
        }
        folder = hash_json(drawn_by)[:12]  # so that no model's images are in the way of another's
        places = [f"{folder}/{case:06d}.png" for case in prompt_list["case_number"]]
        decides = prompt_list[["prompt", "seed", "guidance_scale"]]
        notes = [hash_json({"by": drawn_by, "row": row}) for row in decides.to_dict("records")]
        held = np.array([store.holds(*each) for each in zip(places, notes, strict=True)])
        with tqdm(total=len(held), initial=held.sum(), desc=f"draw {which}", unit="image") as progress:
            for w, group in prompt_list[~held].groupby("guidance_scale", sort=False):
                guided = sampling.model_copy(update={"guidance_scale": w})
                for start in range(0, len(group), sampling.batch_size):
                    batch = group.iloc[start : start + sampling.batch_size]
                    drawn = draw_rows(pipeline, batch, guided, settings)
                    for row, image in zip(batch.index, drawn.numpy(), strict=True):
                        store.save(places[row], image, notes[row])
                    progress.update(len(batch))
        return places

    return draw


def draw_rows(
    pipeline: StableDiffusionPipeline,
    rows: pd.DataFrame,
    sampling: SamplingSettings,
    settings: PromptListSettings,
) -> Tensor:
    """An image a row, ``[N, 3, H, W]`` uint8, from the noise that diffusers draws for the row's seed."""
    model = model_of(pipeline, list(rows["prompt"]), truncate=settings.truncate).eval()
    generators = [torch.Generator().manual_seed(seed) for seed in rows["seed"]]
    return sample_batch(model, torch.arange(len(rows)), generators, sampling)


def hash_json(values: dict[str, Any]) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def look_at_images(
    store: ImageStore,
    places: list[str],
    prompt_list: pd.DataFrame,
    judge: Judge,
    settings: PromptListSettings,
    captions: CaptionSettings,
) -> pd.DataFrame:
    """A row an image of all that ``prompts.measures`` sees in it alone."""
    looks = build_looks(settings, judge, captions)
    batches = in_batches(partial(read_stored, store, places), len(places), AT_ONCE)
    return look_at(tqdm(batches, "look", -(-len(places) // AT_ONCE), unit="batch"), prompt_list, looks)


def measure_fidelity(
    store: ImageStore,
    places: list[str],
    base_places: list[str],
    judge: Judge,
    settings: PromptListSettings,
    evaluation: EvaluationSettings,
) -> Metrics:
    """FID, precision and recall of one model's images, against real ones or those of the model before."""
    if "fid" not in settings.measures or (settings.real is None and places == base_places):
        return {}
    extractor = build_extractor(evaluation.fid_backend, judge)
    drawn = features_of(extractor, partial(read_stored, store, places), len(places))
    if settings.real is None:
        real = features_of(extractor, partial(read_stored, store, base_places), len(base_places))
    else:
        files, side = find_images(settings.real), store.load(places[0]).shape[-1]
        real = features_of(extractor, lambda row: read_image(files[row], side), len(files))
    return {
        **fidelity(drawn, real, evaluation.precision_neighbours),
        "fid_backend": extractor.name,
        "fid_weights_sha256": extractor.weights_sha256,
        "fid_against": "the model before" if settings.real is None else settings.real,
        "real_images": len(real),
    }


def features_of(extractor: FeatureExtractor, read: Callable[[int], np.ndarray], count: int) -> Tensor:
    """Features ``[count, D]`` of images that are read a batch at a time."""
    return torch.cat([extractor(batch) for batch in in_batches(read, count, AT_ONCE)])


def read_stored(store: ImageStore, places: list[str], row: int) -> np.ndarray:
    """The image of one row."""
    return store.load(places[row])


def collect(
    base_model: DiffusionPipeline,
    erased_model: DiffusionPipeline,
    prompt_list: pd.DataFrame,
    base_seen: pd.DataFrame,
    base_fidelity: Metrics,
    erased_seen: pd.DataFrame,
    erased_fidelity: Metrics,
    base_places: list[str],
    erased_places: list[str],
    judge: Judge,
    settings: PromptListSettings,
    captions: CaptionSettings,
) -> tuple[pd.DataFrame, dict[str, Any], MlflowMetrics, MlflowMetrics]:
    """Every image of both models; ``metrics.json``; and the numbers of both for MLflow."""
    forgotten = words_forgotten(history_of(erased_model), captions)
    base = round_metrics({**summarise_images(base_seen, forgotten), **base_fidelity})
    erased = round_metrics({**summarise_images(erased_seen, forgotten), **erased_fidelity})
    document: dict[str, Any] = {
        "list": {"file": settings.file, "rows": len(prompt_list), "sha256": hash_list(prompt_list)},
        "forgotten": forgotten,
        "models": {"base": hash_pipeline(base_model), "erased": hash_pipeline(erased_model)},
        "base": base,
        "erased": erased,
    }
    if "objects" in settings.measures:
        document["judge"] = {"name": type(judge).__name__, "sha256": hash_weights(judge)}
    if "clip" in settings.measures:
        document["clip"] = settings.clip
    images = pd.concat(
        [
            base_seen.assign(model="base", file=base_places),
            erased_seen.assign(model="erased", file=erased_places),
        ]
    )
    return images, document, numbers_of(without_classes(base)), numbers_of(without_classes(erased))


def without_classes(metrics: Metrics) -> Metrics:
    """What MLflow can take: it refuses some names that a class may have."""
    return {key: value for key, value in metrics.items() if key != "accuracy_by_class"}


def hash_list(prompt_list: pd.DataFrame) -> str:
    """SHA-256 of all rows that were drawn."""
    return hash_json({"rows": prompt_list.to_dict("records")})


def draw_pictures(
    erased_model: DiffusionPipeline,
    store: ImageStore,
    prompt_list: pd.DataFrame,
    base_places: list[str],
    erased_places: list[str],
    settings: ReportSettings,
    captions: CaptionSettings,
) -> Figure:
    """The first images of each class, before and after, for a person to look at.

    Where what was forgotten is hidden, neither its classes nor rows without a class are drawn.
    """
    # Classes are read whatever their case, see ``labels_of``.
    forgotten = [word.casefold() for word in words_forgotten(history_of(erased_model), captions)]
    shown = prompt_list
    if settings.hide_forgotten:
        shown = prompt_list[~prompt_list["class"].str.casefold().isin(["", *forgotten])]
    if shown.empty:
        return draw_note("Every image is hidden: report.hide_forgotten.")
    rows = first_of_each(shown["class"], settings.grid_columns)
    pairs = [(store.load(base_places[row]), store.load(erased_places[row])) for row in rows]
    return draw_pairs(pairs, list(prompt_list["class"].iloc[rows]), settings.grid_columns, forgotten)
