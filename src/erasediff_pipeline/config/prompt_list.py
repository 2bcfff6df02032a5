"""Evaluation on a list of prompts."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from erasediff_pipeline.config.base import ModelFolder, Settings, as_list

Measure = Literal["objects", "clip", "nsfw", "nudenet", "fid"]


class PromptListSettings(Settings):
    """Draw an image for each prompt of a list, and measure them; see ``pipelines.prompts``."""

    file: str | None = None
    """CSV with one row for each image: the column ``prompt``, and optionally ``case_number``,
    ``evaluation_seed``, ``evaluation_guidance`` and ``class``, see ``data.prompt_list``."""

    @field_validator("file")
    @classmethod
    def _names_a_folder(cls, file: str | None) -> str | None:
        if file is not None and Path(file).stem.startswith("."):
            raise ValueError(f"{file!r}: results get the file's name, which begins with a dot: rename it")
        return file

    model: ModelFolder = "erasediff"
    """The erased model, a folder of ``data/06_models``; it is compared with ``base``."""

    limit: int | None = Field(None, ge=1)
    """Number of rows to read, from the top; null reads all."""

    truncate: bool = False
    """Cut prompts that are longer than the text encoder's context, as published evaluations do; false refuses
    them."""

    measures: Annotated[list[Measure], BeforeValidator(as_list)] = Field(["objects"], min_length=1)
    """What to measure.

    - ``objects``: the share of images that the classifier assigns to their ``class``.
    - ``clip``: similarity of image and prompt; needs ``clip``.
    - ``nsfw``: probability that the image is pornographic.
    - ``nudenet``: exposed and covered parts of the body.
    - ``fid``: FID of all images to ``real``.
    """

    clip: str | None = None
    """Directory or hub id of a CLIP model (arXiv 2103.00020), for the measure ``clip``."""

    nudenet_score: float = Field(0.6, gt=0, le=1)
    """Lowest score of a detection that counts; EraseDiff's evaluation uses 0.6 (arXiv 2401.05779)."""

    real: str | None = None
    """Folder of real images for ``fid``, read with its subfolders; null uses images of the base model."""
