"""Checks of a list of prompts before it is drawn."""

from diffusers import DiffusionPipeline

from erasediff_pipeline.config import (
    CaptionSettings,
    EvaluationSettings,
    PromptListSettings,
    SamplingSettings,
)
from erasediff_pipeline.data.prompt_list import find_images, labels_of, read_prompt_list
from erasediff_pipeline.diffusion.pipelines import takes_prompts, wrap
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.evaluation.classifiers.pretrained import AnyClassifier
from erasediff_pipeline.evaluation.features import build_extractor
from erasediff_pipeline.evaluation.prompt_images import build_measures


def check_prompts(
    settings: PromptListSettings,
    sampling: SamplingSettings,
    evaluation: EvaluationSettings,
    captions: CaptionSettings,
    seed: int,
    base_model: DiffusionPipeline,
    classifier: AnyClassifier,
) -> None:
    """Refuse a list of prompts that cannot be drawn, and measures that cannot be computed.

    Args:
        settings: The list and its measures.
        sampling: Guidance of rows without their own.
        evaluation: Backend of ``fid``, and k of precision and recall.
        captions: Words of the classes, for the measure ``objects``.
        seed: Seed of rows without their own.
        base_model: The base model; one that takes prompts is required.
        classifier: The classifier of the measure ``objects``.

    Raises:
        InvalidParameter: There is no list, a row of it is unusable, or the base model takes no prompts.
        InvalidRequest: A prompt is too long for the text encoder.
        MissingInput: A file, a model or a package is missing.
    """
    if settings.file is None:
        raise InvalidParameter("prompts.file: null: expected a CSV with a `prompt` column")
    rows = read_prompt_list(settings.file, seed, sampling.guidance_scale, settings.limit)
    if not takes_prompts(base_model):
        raise InvalidParameter(
            f"prompts.file: {settings.file}: base_model is class-conditional; a text-to-image model is "
            "required"
        )
    if "objects" in settings.measures:
        labels_of(rows, captions)
    wrap(base_model, list(rows["prompt"]), settings.truncate)
    build_measures(settings, classifier, captions)
    real = len(rows) if settings.real is None else len(find_images(settings.real))
    if "fid" in settings.measures:
        build_extractor(evaluation.fid_backend, classifier)
        neighbours = evaluation.precision_neighbours
        if min(len(rows), real) <= neighbours:
            raise InvalidParameter(
                f"evaluation.precision_neighbours: {neighbours}: use less than the number of prompts "
                f"({len(rows)}) and of the images that they are compared with ({real})"
            )
