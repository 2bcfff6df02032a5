"""Specification of a table of runs. ``benchmarks/table.py`` fills and writes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from runs import TUNED_ON, markdown

REPORTED = [digit for digit in range(10) if digit not in TUNED_ON]
TUNED = f"The settings were tuned on the digits {' and '.join(map(str, TUNED_ON))}."
ENDS = {"": "value", "_low": "low", "_high": "high"}
"""End of a column's name → key of a figure with its interval."""
Cell = dict[str, Any]
"""One run: a value for each axis."""
Chosen = Mapping[str, Sequence]
"""Values by axis."""


def missing_cells(chosen: Chosen, rows: pd.DataFrame) -> list[Cell]:
    """Every combination of the chosen values that has no row yet."""
    done = set() if rows.empty else set(rows[list(chosen)].itertuples(index=False, name=None))
    return [
        dict(zip(chosen, values, strict=True)) for values in product(*chosen.values()) if values not in done
    ]


@dataclass(frozen=True)
class Table:
    """One row or more for each run of ``kedro run``; what it shows on a page."""

    target: str
    """Of make and of ``table.py``."""
    file: str
    """Stem of its CSV and of its page in ``benchmarks/``."""
    environment: str
    """Of Kedro. ``sweep`` gets a copy of the reference data and models first."""
    title: str
    text: str
    """What a reader needs to know before the figures."""
    axes: Mapping[str, Sequence]
    """The whole table. Each axis is an option of ``table.py``."""
    run: Callable[[Cell], list[dict[str, Any]]]
    """Run the command that a user types, and return its rows."""
    body: Callable[[pd.DataFrame], list[str]]
    """The rows in Markdown."""
    keys: tuple[str, ...] = ()
    """Columns that identify a row; the axes if empty."""
    missing: Callable[[Chosen, pd.DataFrame], list[Cell]] = missing_cells
    """Runs without rows."""
    method: str | None = None
    """Column that names the method of a row; None if all rows are EraseDiff's."""
    sections: tuple[str, ...] = ()
    """Sections of the parameters that decide the figures, beside those of the method."""
    trains: bool = False
    """Whether each run trains a base model and a classifier of its own."""
    resumes: bool = True
    """Whether the rows of an earlier call are kept."""


@dataclass(frozen=True)
class Column:
    """A column of the page."""

    heading: str
    key: str
    """Column of the CSV."""
    format: str = ""
    """Format specification of a number; empty for text."""
    scale: float = 1
    ends: tuple[str, ...] = ()
    """Columns of the CSV with the two ends of its interval, if it has one."""

    def show(self, row: pd.Series) -> str:
        if not self.format:
            return f"{row[self.key]}"
        value, *ends = (f"{row[key] * self.scale:{self.format}}" for key in (self.key, *self.ends))
        return f"{value} ({'–'.join(ends)})" if ends else value


@dataclass(frozen=True)
class Limit:
    """A limit for a row."""

    name: str
    text: str
    """The limit, to be read after the name."""
    met: Callable[[pd.Series], bool]


def at_most(name: str, key: str, limit: float) -> Limit:
    return Limit(name, f"≤ {limit}", lambda row: row[key] <= limit)


def kept(name: str, key: str, loss: float = 0.01) -> Limit:
    """At most ``loss`` below the base model's."""
    return Limit(
        name, f"≥ the base model's − {loss}", lambda row: row[f"base_{key}"] - row[key] <= loss + 1e-9
    )


def misses(row: pd.Series, limits: Sequence[Limit]) -> str:
    """Names of the limits that a row does not meet; NaN meets none."""
    return ", ".join(limit.name for limit in limits if not limit.met(row))


def describe(limits: Sequence[Limit]) -> str:
    return ", ".join(f"{limit.name} {limit.text}" for limit in limits)


def grid(rows: pd.DataFrame, columns: Sequence[Column], limits: Sequence[Limit]) -> list[str]:
    """How many rows meet every limit, then one line per row."""
    missed = [misses(row, limits) for _, row in rows.iterrows()]
    cells = [
        [*(column.show(row) for column in columns), names]
        for (_, row), names in zip(rows.iterrows(), missed, strict=True)
    ]
    text = [i for i, column in enumerate(columns) if not column.format]
    return [
        f"{missed.count('')} of {len(rows)} runs meet every limit: {describe(limits)}. The last column names "
        "the limits that a run misses.",
        "",
        *markdown([*(column.heading for column in columns), "misses"], cells, [*text, len(columns)]),
    ]
