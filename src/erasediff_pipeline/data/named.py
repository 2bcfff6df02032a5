"""What a request names, found in the manifest: classes by number or name, images by id or file."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import pandas as pd

from erasediff_pipeline.data.class_names import names_of
from erasediff_pipeline.data.csv_files import read_rows
from erasediff_pipeline.errors import InvalidRequest, did_you_mean

DIGITS = 6
"""Of an id, see ``manifest.build_manifest``."""


def some(values: Iterable[str], most: int = 5) -> str:
    """The first few of many, for a message of one line."""
    values = list(values)
    shown = ", ".join(repr(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def labels_of_classes(classes: Iterable[int | str], manifest: pd.DataFrame) -> list[int]:
    """Find the labels of classes.

    Args:
        classes: Labels, or names; several names or labels may stand in one text, with spaces between.
        manifest: One row per image; ``class`` has the names, if the source has any.

    Raises:
        InvalidRequest: A name is unknown, or a number is the label of one class and the name of another.
    """
    names: dict[str, int] = {}
    for label, name in names_of(manifest).items():
        plain = plain_name(name)
        if (other := names.setdefault(plain, label)) != label:
            raise InvalidRequest(
                f"forget.classes: classes {other} and {label} are both {plain!r}, but for spaces or "
                "the form of é: rename a folder, and run `kedro run --pipeline=prepare`"
            )
    parts = [part for asked in classes for part in _split(str(asked), names)]
    return [_label_of(part, names, sorted(manifest["label"].unique().tolist())) for part in parts]


def plain_name(name: str) -> str:
    """A name without spaces around it; é is one character, however the file system writes it."""
    return unicodedata.normalize("NFC", name).strip()


def _split(asked: str, names: Mapping[str, int]) -> list[str]:
    return [plain_name(asked)] if plain_name(asked) in names else asked.split()


def _label_of(asked: str, names: Mapping[str, int], numbers: list[int]) -> int:
    if re.fullmatch(r"[+-]?\d+", asked):
        number = int(asked)
        named = [
            label
            for name, label in names.items()
            if name == asked or (name.isdecimal() and int(name) == number)
        ]
        if number in numbers and [number] != named != []:
            known = ", ".join(f"{label} is {name!r}" for name, label in names.items())
            raise InvalidRequest(
                f"forget.classes: {asked}: a class has this number, and another one this name ({known}): "
                "rename the folders, for example to class_1, and run `kedro run --pipeline=prepare`"
            )
        return number if number in numbers or len(named) != 1 else named[0]
    if asked in names:
        return names[asked]
    if names:
        known = ", ".join(names)
        raise InvalidRequest(
            f"forget.classes: {asked!r} is no class{did_you_mean(asked, names)}: choose from {known}"
        )
    raise InvalidRequest(
        f"forget.classes: {asked!r}: the classes of this source have no names: choose from {numbers}"
    )


def ids_in_file(path: str, manifest: pd.DataFrame) -> list[str]:
    """Read which images a CSV names, as ids of the manifest.

    Args:
        path: CSV with a column ``id``, or a column ``file`` with names as in the manifest's ``file``: the
            path below ``source.path``, or the name alone if no other image has it. Numbers without leading
            zeros, or with ``.0``, are ids that a spreadsheet has changed.
        manifest: One row per image.

    Raises:
        InvalidRequest: It is not such a CSV, repeats an image, or names one that the manifest has not.
    """
    where = f"forget.ids_file: {path}"
    table = read_rows(path, where, (), InvalidRequest)
    if "id" in table:
        ids = _match_ids(table["id"].str.strip(), manifest, where)
        if "file" in table and "file" in manifest:
            files = _match_files(table["file"], manifest, where)
            for line, by_id, by_file in zip(table.index, ids, files, strict=True):
                if by_id != by_file:
                    raise InvalidRequest(
                        f"{where}, line {line}: `id` is {by_id!r}, but `file` is that of {by_file!r}: leave "
                        "out one of the columns"
                    )
    elif "file" in table and "file" in manifest:
        ids = _match_files(table["file"], manifest, where)
    elif "file" in table:
        raise InvalidRequest(f"{where}: images of this source have no files: name them by `id`")
    else:
        raise InvalidRequest(f"{where} has the columns {list(table)}: expected an `id` or a `file` column")
    for column in ("label", "class"):
        if column in table and column in manifest:
            of_id = manifest.set_index("id")[column].astype(str)
            for line, name, said in zip(table.index, ids, table[column].str.strip(), strict=True):
                given, known = (plain_name(text).casefold() for text in (said, of_id[name]))
                if given.removesuffix(".0") not in ("", known):
                    raise InvalidRequest(
                        f"{where}, line {line}: {column} {said!r}, but image {name!r} is of {of_id[name]!r}: "
                        "mend the row, or leave out the column"
                    )
    repeated = sorted(name for name, count in Counter(ids).items() if count > 1)
    if repeated:
        raise InvalidRequest(f"{where} repeats {some(repeated)}: name each image once")
    return ids


def _match_ids(names: pd.Series, manifest: pd.DataFrame, where: str) -> list[str]:
    known = set(manifest["id"])
    found: list[str] = []
    unknown: list[str] = []
    for name in names:
        number = re.fullmatch(r"(\d+)(\.0{0,2})?", name)  # 1.000 may be a thousand
        padded = number[1].zfill(DIGITS) if number else name
        match = name if name in known else padded
        (found if match in known else unknown).append(match if match in known else name)
    if unknown:
        raise InvalidRequest(f"{where} names {some(unknown)}, not in the manifest's `id` column")
    return found


def _match_files(names: pd.Series, manifest: pd.DataFrame, where: str) -> list[str]:
    by_path = dict(zip(manifest["file"], manifest["id"], strict=True))
    by_name: dict[str, list[str]] = {}
    for path in by_path:
        by_name.setdefault(path.rsplit("/", 1)[-1], []).append(path)
    # é may have two forms
    plain: dict[str, str] = {plain_name(known): known for known in (*by_path, *by_name)}
    found = []
    for name in names:
        path = name.replace("\\", "/").removeprefix("./")
        if path not in by_path and path not in by_name:
            path = plain.get(plain_name(path), path)
        matches = [path] if path in by_path else by_name.get(path, [])
        if not matches:
            nearest = get_close_matches(path, by_path, 1) or get_close_matches(path, by_name, 1)
            hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
            raise InvalidRequest(f"{where} names {name!r}, not in the manifest's `file` column{hint}")
        if len(matches) > 1:
            raise InvalidRequest(
                f"{where} names {name!r}, which may be {some(matches)}: name its folder, too"
            )
        found.append(by_path[matches[0]])
    return found
