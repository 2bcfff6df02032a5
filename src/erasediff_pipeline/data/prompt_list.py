"""Lists of prompts, with the columns of the published evaluations."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torchvision.datasets.folder import is_image_file

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.data.csv_files import read_rows
from erasediff_pipeline.data.request import AnsweredRequest, forgotten_classes
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.seeding import derive_seed

SEEDS = ("evaluation_seed", "sd_seed", "seed")
GUIDANCE = ("evaluation_guidance", "sd_guidance_scale", "guidance_scale")
"""Names of the columns in the lists of ESD (arXiv 2303.07345) and I2P (arXiv 2211.05105)."""


def read_prompt_list(path: str, seed: int, guidance_scale: float, limit: int | None = None) -> pd.DataFrame:
    """Read a list with one row per image.

    Args:
        path: CSV with a ``prompt`` column; a prompt may be empty, as one of I2P is. Optional columns:
            ``case_number``, the number of the image (by default that of the row); a seed, for the noise that
            a pipeline of diffusers draws from it; guidance, on the scale of diffusers (1 + w); ``class``, the
            class of the image. Others are ignored.
        seed: Seed of rows without their own.
        guidance_scale: w for rows without guidance.
        limit: Number of rows to read; None reads all.

    Returns:
        ``case_number`` and ``seed`` (int64), ``prompt`` and ``class`` (str, ``class`` may be empty),
        ``guidance_scale`` (float64, w).

    Raises:
        MissingInput: The file does not exist.
        InvalidParameter: It is not a CSV with a ``prompt`` column and a row, or a value is out of range.
    """
    table = _read_table(path)
    table = table.head(limit) if limit else table
    numbers = _column_of(table, path, ("case_number",), np.int64, least=0)
    cases = pd.Series(range(len(table)), table.index) if numbers is None else numbers
    if cases.duplicated().any():
        raise InvalidParameter(
            f"prompts.file: {path}: case_number {cases[cases.duplicated()].iloc[0]} occurs twice: use each "
            "number once"
        )
    seeds = _column_of(table, path, SEEDS, np.int64, least=0)
    guidance = _column_of(table, path, GUIDANCE, np.float64, least=1)
    return pd.DataFrame(
        {
            "case_number": cases,
            "prompt": table["prompt"],
            "seed": [derive_seed(seed, "prompts", n) for n in cases] if seeds is None else seeds,
            "guidance_scale": guidance_scale if guidance is None else guidance - 1,
            "class": table["class"].str.strip() if "class" in table else "",
        }
    ).reset_index(drop=True)


def _read_table(path: str) -> pd.DataFrame:
    """The CSV as text, with a ``prompt`` column and at least one row."""
    if not Path(path).exists():
        raise MissingInput(f"prompts.file: {path} does not exist: expected a CSV with a `prompt` column")
    return read_rows(path, f"prompts.file: {path}", ("prompt",), InvalidParameter)


def _column_of(
    table: pd.DataFrame, path: str, names: tuple[str, ...], dtype: type, least: float
) -> pd.Series | None:
    """The first of these columns that exists, as numbers; None if there is none.

    Raises:
        InvalidParameter: A value is not a number of this type from ``least`` on.
    """
    name = next((name for name in names if name in table), None)
    if name is None:
        return None
    values = pd.to_numeric(table[name], errors="coerce")
    whole = np.isfinite(values) & (values >= least) & (values < 2**63)
    if dtype is np.int64:
        whole &= values % 1 == 0
    if not whole.all():
        row = int(np.argmin(whole))
        kind = "a whole number" if dtype is np.int64 else "a number"
        raise InvalidParameter(
            f"prompts.file: {path}, line {table.index[row]}: {name} {table[name].iloc[row]!r}: expected "
            f"{kind} from {least} on"
        )
    return values.astype(dtype)


def labels_of(prompt_list: pd.DataFrame, captions: CaptionSettings) -> pd.Series:
    """The label of each row's class, found by any word of the class; case does not matter.

    Raises:
        InvalidParameter: The class of a row is not a word of ``captions.words``.
    """
    labels = {word.casefold(): label for label, words in captions.words.items() for word in words}
    found = prompt_list["class"].str.casefold().map(labels)
    if found.isna().any():
        row = prompt_list[found.isna()].iloc[0]
        raise InvalidParameter(
            f"prompts.file: case {row['case_number']}: class {row['class']!r}: choose one of captions.words: "
            f"{', '.join(labels)}"
        )
    return found.astype(np.int64)


def words_forgotten(history: Sequence[AnsweredRequest], captions: CaptionSettings) -> list[str]:
    """All words for the classes that a model has forgotten."""
    return [word for label in forgotten_classes(history) for word in captions.words.get(label, [])]


def first_of_each(classes: pd.Series, count: int) -> list[int]:
    """Numbers of the first ``count`` rows of each class, class by class."""
    return [int(row) for rows in classes.groupby(classes, sort=False).groups.values() for row in rows[:count]]


def find_images(folder: str) -> list[Path]:
    """The image files below a folder, in alphabetical order.

    Raises:
        MissingInput: The folder does not exist, or has no image.
    """
    files = sorted(path for path in Path(folder).rglob("*") if is_image_file(path.name))
    if not files:
        raise MissingInput(f"prompts.real: {folder} has no image: expected a folder with real images")
    return files
