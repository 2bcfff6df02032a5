"""Lists of prompts, in the columns that the published evaluations have."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torchvision.datasets.folder import is_image_file

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.data.request import AnsweredRequest, forgotten_classes
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.seeding import derive_seed

SEEDS = ("evaluation_seed", "sd_seed", "seed")
GUIDANCE = ("evaluation_guidance", "sd_guidance_scale", "guidance_scale")
"""The names that ESD's lists (arXiv 2303.07345) and I2P (arXiv 2211.05105) have for them."""


def read_prompt_list(path: str, seed: int, guidance_scale: float, limit: int | None = None) -> pd.DataFrame:
    """Read a list, one row an image; columns that are not named here are left alone.

    Args:
        path: A CSV with ``prompt``. ``case_number`` names the image, else its row does; a seed of its own
            makes the noise that diffusers' pipelines draw for it; guidance is diffusers' scale, which is
            1 + w here; ``class`` is what the image should show.
        seed: Of the rows, where they have none of their own.
        guidance_scale: w of the rows, where they have none of their own.
        limit: Rows taken from the top.

    Returns:
        ``case_number`` and ``seed`` (int64), ``prompt`` and ``class`` (str, the latter empty where there is
        none), ``guidance_scale`` (float64).

    Raises:
        MissingInput: There is no such file.
        InvalidParameter: It is no CSV, lacks ``prompt`` or a row, or a value in it cannot be used.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise MissingInput(
            f"prompts.file: {path} is missing: needed is a CSV with the column 'prompt'"
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise InvalidParameter(f"prompts.file: {path} is no CSV: {error}") from None
    if not isinstance(table.index, pd.RangeIndex):  # what pandas makes of rows with more fields than the head
        raise InvalidParameter(
            f"prompts.file: {path}: a row has more fields than the {len(table.columns)} columns: put text "
            "with commas in quotes"
        )
    if "prompt" not in table:
        raise InvalidParameter(
            f"prompts.file: {path} has the columns {list(table.columns)}, not 'prompt': needed is 'prompt'"
        )
    if table.empty:
        raise InvalidParameter(f"prompts.file: {path} has no row: at least one is needed")
    table = table.head(limit) if limit else table
    empty = table.index[table["prompt"].str.strip() == ""]
    if len(empty):
        raise InvalidParameter(
            f"prompts.file: {path}, line {empty[0] + 2}: the prompt is empty: needed is text"
        )

    numbers = column_of(table, path, ("case_number",), np.int64, least=0)
    cases = pd.Series(range(len(table))) if numbers is None else numbers
    if cases.duplicated().any():
        raise InvalidParameter(
            f"prompts.file: {path}: case_number {cases[cases.duplicated()].iloc[0]} is there twice: allowed "
            "is one row an image"
        )
    seeds = column_of(table, path, SEEDS, np.int64, least=0)
    guidance = column_of(table, path, GUIDANCE, np.float64, least=1)
    return pd.DataFrame(
        {
            "case_number": cases,
            "prompt": table["prompt"],
            "seed": [derive_seed(seed, "prompts", n) for n in cases] if seeds is None else seeds,
            "guidance_scale": guidance_scale if guidance is None else guidance - 1,
            "class": table.get("class", ""),
        }
    )


def column_of(
    table: pd.DataFrame, path: str, names: tuple[str, ...], dtype: type, least: float
) -> pd.Series | None:
    """The first of these columns that is there, as numbers; None where none is.

    Raises:
        InvalidParameter: A value is no such number.
    """
    name = next((name for name in names if name in table), None)
    if name is None:
        return None
    values = pd.to_numeric(table[name], errors="coerce")
    whole = np.isfinite(values) & (values >= least) & (values < 2**63)
    if dtype is np.int64:
        whole &= values % 1 == 0
    if not whole.all():
        line = int(np.argmin(whole))
        kind = "a whole number" if dtype is np.int64 else "a number"
        raise InvalidParameter(
            f"prompts.file: {path}, line {line + 2}: {name} {table[name].iloc[line]!r}: allowed is {kind} "
            f"from {least} on"
        )
    return values.astype(dtype)


def labels_of(prompt_list: pd.DataFrame, captions: CaptionSettings) -> pd.Series:
    """The label of each row's class, by the words for it, whatever their case.

    Raises:
        InvalidParameter: A row has a class that no word is for.
    """
    labels = {word.casefold(): label for label, words in captions.words.items() for word in words}
    found = prompt_list["class"].str.casefold().map(labels)
    if found.isna().any():
        row = prompt_list[found.isna()].iloc[0]
        raise InvalidParameter(
            f"prompts.file: case {row['case_number']}: class {row['class']!r}: allowed are the words of "
            f"captions.words: {', '.join(labels)}"
        )
    return found.astype(np.int64)


def words_forgotten(history: Sequence[AnsweredRequest], captions: CaptionSettings) -> list[str]:
    """All words for the classes that a model has forgotten."""
    return [word for label in forgotten_classes(history) for word in captions.words.get(label, [])]


def first_of_each(classes: pd.Series, count: int) -> list[int]:
    """The rows that come first, up to ``count`` of each class, class by class."""
    return [int(row) for rows in classes.groupby(classes, sort=False).groups.values() for row in rows[:count]]


def find_images(folder: str) -> list[Path]:
    """The image files below a folder, in alphabetical order.

    Raises:
        MissingInput: There is no such folder, or no image in it.
    """
    files = sorted(path for path in Path(folder).rglob("*") if is_image_file(path.name))
    if not files:
        raise MissingInput(f"prompts.real: {folder}: no image below it: needed is a folder of real images")
    return files
