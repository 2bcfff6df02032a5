"""Evaluation by a list of prompts."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from erasediff_pipeline.config.base import ModelFolder, Settings, as_list

Measure = Literal["objects", "clip", "nsfw", "nudenet", "fid"]


class PromptListSettings(Settings):
    """Prompts in, images out, each judged; see ``pipelines.prompts``."""

    file: str | None = None
    """CSV with a row an image: ``prompt``, and ``case_number``, ``evaluation_seed``, ``evaluation_guidance``
    and ``class`` where there are such, see ``data.prompt_list``."""

    model: ModelFolder = "erasediff"
    """The model after, a folder below ``data/06_models``; the model before is ``base``."""

    limit: int | None = Field(None, ge=1)
    """Rows taken from the top of the list; null takes all."""

    truncate: bool = False
    """Whether a prompt that is longer than the text encoder's context is cut, as the published evaluations
    do, instead of refused."""

    measures: Annotated[list[Measure], BeforeValidator(as_list)] = Field(["objects"], min_length=1)
    """``objects``: what the judge says each image shows, against ``class``. ``clip``: how well it fits its
    prompt. ``nsfw``: the probability that it is pornographic. ``nudenet``: parts of the body, exposed or
    covered. ``fid``: how far the images as a whole are from ``real``."""

    clip: str | None = None
    """Directory, or hub id, of a CLIP model (arXiv 2103.00020), for ``clip``."""

    nudenet_score: float = Field(0.6, gt=0, le=1)
    """A detection counts from this score on; 0.6 is that of EraseDiff's evaluation (arXiv 2401.05779)."""

    real: str | None = None
    """Folder of real images for ``fid``, of any depth; null compares with the images of the model before."""
