"""CSV files that a user writes: read strictly, so that no field is taken for another."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from erasediff_pipeline.errors import UserError

SEPARATORS = (",", ";", "\t")
"""Excel separates by semicolons where the comma is the decimal point."""


def read_rows(path: str | Path, where: str, columns: Sequence[str], refuse: type[UserError]) -> pd.DataFrame:
    """Read a CSV as text.

    The header says which of ``SEPARATORS`` it uses. Rows without any text are left out, and so are empty
    fields behind the last column.

    Args:
        path: Of the file, in UTF-8, with or without a byte order mark.
        where: Names the file in messages.
        columns: Columns that it must have.
        refuse: Class of the errors.

    Returns:
        One row per row of the file, all str; the index, ``line``, is where the row begins in the file.

    Raises:
        UserError: Of the class ``refuse``. The file cannot be read, is not such a CSV, has a column twice or
            no row, or a row has more or fewer fields than the header.
    """
    expected = "a CSV" + (f" with {' and '.join(f'`{column}`' for column in columns)}" if columns else "")
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            lines = file.readlines()
    except FileNotFoundError:
        raise refuse(f"{where} does not exist: expected {expected}") from None
    except UnicodeDecodeError as error:
        raise refuse(f"{where} is not UTF-8 (byte {error.start}): save it as CSV in UTF-8") from None
    except OSError as error:
        raise refuse(f"{where} cannot be read: {error.strerror}") from None
    told = re.fullmatch(r'"?sep=(.)"?', lines[0].strip()) if lines else None  # Excel's own way to say it
    first = next((line for line in lines if line.strip()), "")
    separator = told[1] if told else max(SEPARATORS, key=first.count)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    rows, starts, begin = [], [], 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields) and not (told and reader.line_num == 1):
                rows.append(fields)
                starts.append(begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise refuse(f"{where}, line {begin}: {error}: expected {expected}") from None
    header = [name.strip() for name in rows[0]] if rows else []
    missing = [f"`{column}`" for column in columns if column not in header]
    if missing:
        raise refuse(f"{where} has the columns {header}: expected {' and '.join(missing)}")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise refuse(f"{where} has the column {twice[0]!r} twice: name each column once")
    for line, fields in zip(starts[1:], rows[1:], strict=True):
        if len(fields) < len(header) or any(field.strip() for field in fields[len(header) :]):
            raise refuse(
                f"{where}, line {line}: {len(fields)} fields, but the header has {len(header)}: put text "
                "with commas in quotes, and one row on each line"
            )
    if len(rows) == 1:
        raise refuse(f"{where} has no rows: expected at least one")
    cells = [fields[: len(header)] for fields in rows[1:]]
    return pd.DataFrame(cells, columns=header, index=pd.Index(starts[1:], name="line"), dtype=str)
