"""Captions of your own images, in a file beside the folders of the classes."""

import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from erasediff_pipeline.data.csv_files import read_rows
from erasediff_pipeline.data.named import some
from erasediff_pipeline.errors import InvalidParameter

CSV, LINES = "metadata.csv", "metadata.jsonl"
"""As Hugging Face's ``imagefolder`` names them."""
COLUMNS = ("file_name", "text")
"""``file_name`` is relative to the folder of the file."""


def read_captions(root: Path, files: list[str]) -> list[str]:
    """Read the captions of these files.

    Args:
        root: Folder of ``metadata.csv`` or ``metadata.jsonl``.
        files: Paths of the images below ``root``, with ``/``.

    Returns:
        One for each file, in order; empty if there is no such file.

    Raises:
        InvalidParameter: There are both, or it is not what its name says, an image has no text or several,
            or a row names no image.
    """
    readers = {CSV: _read_csv, LINES: _read_lines}
    present = [root / name for name in readers if (root / name).exists()]
    if not present:
        return []
    if len(present) > 1:
        raise InvalidParameter(f"{root} has {CSV} and {LINES}: keep one of them")
    (file,) = present
    texts: dict[str, str] = {}
    for line, name, text in readers[file.name](file):
        path = name.replace("\\", "/").removeprefix("./")
        if path in texts:
            raise InvalidParameter(
                f"{file}, line {line}: {name!r} has a text already: keep one text for each image"
            )
        texts[path] = text
    forms = {unicodedata.normalize("NFC", path): text for path, text in texts.items()}
    texts |= {name: forms[plain] for name in files if (plain := unicodedata.normalize("NFC", name)) in forms}
    without = [name for name in files if not texts.get(name, "").strip()]
    if without:
        unknown = sorted(set(texts) - set(files))
        hint = f"; it names {some(unknown, 2)}, which is no image there" if unknown else ""
        raise InvalidParameter(
            f"{file} has no text for {len(without)} images, first {without[0]!r}{hint}: "
            "add a row for each image, <class>/<file>"
        )
    return [texts[name] for name in files]


def _read_csv(file: Path) -> Iterable[tuple[int, str, str]]:
    """Line, file name and text of each row."""
    table = read_rows(file, str(file), COLUMNS, InvalidParameter)
    return zip(table.index, table["file_name"], table["text"], strict=True)


def _read_lines(file: Path) -> Iterable[tuple[int, str, str]]:
    """The same of a file with one JSON object on each line."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InvalidParameter(f"{file} is not UTF-8 (byte {error.start}): save it in UTF-8") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            values = [row[column] for column in COLUMNS]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidParameter(
                f"{file}, line {number}: {type(error).__name__}: {error}: expected an object with "
                "`file_name` and `text`"
            ) from None
        if not all(isinstance(value, str) for value in values):
            raise InvalidParameter(f"{file}, line {number}: expected `file_name` and `text` to be strings")
        yield number, *values
