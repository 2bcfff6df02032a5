"""Fill a table of runs, and write it to ``benchmarks/<file>.csv`` and ``.md``.

    python benchmarks/table.py sweep --digits 3 7      or `make sweep` for the whole table

Every row is measured by the command that a user types. Rows that are in the CSV are not measured again; rows
of other settings, another base model or another classifier are refused.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from runs import ROOT, SWEEP, copy_reference, describe_origin, hash_settings, made_by, read_rows
from tables.audited import AUDITS
from tables.compared import DIGITS, ONE_WORD
from tables.erased import EIGHT_DIGITS, FASHION, SEQUENCE, SEVERAL_DIGITS, SINGLE_IMAGES, WORDS
from tables.own import OWN
from tables.spec import Chosen, Table

ALL = (EIGHT_DIGITS, SEVERAL_DIGITS, SEQUENCE, SINGLE_IMAGES, DIGITS, AUDITS, WORDS, ONE_WORD, FASHION, OWN)
TABLES = {table.target: table for table in ALL}


def fill(table: Table, chosen: Chosen, path: Path) -> None:
    """Run what is missing; write both files after each run."""
    if table.environment == SWEEP:
        copy_reference()
    settings = hash_settings(table.environment, table.sections, table.trains)
    rows = read_rows(path, settings, table.method) if table.resumes else pd.DataFrame()
    for cell in tqdm(table.missing(chosen, rows), table.target, unit="run"):
        new = pd.DataFrame(table.run(cell))
        made_with = new[table.method].map(settings) if table.method else settings["erasediff"]
        rows = pd.concat([rows, new.assign(**made_by(made_with))], ignore_index=True)
        rows = rows.drop_duplicates(list(table.keys or table.axes), keep="last")
        rows.to_csv(path, index=False)
        path.with_suffix(".md").write_text(render(table, rows))
    path.with_suffix(".md").write_text(render(table, rows))


def render(table: Table, rows: pd.DataFrame) -> str:
    """The page: title, where the figures come from, and the figures."""
    count = len(table.missing(table.axes, rows)) if table.resumes else 0
    unfinished = f" Unfinished, runs missing: {count}." if count else ""
    origin = describe_origin(f"make {table.target}", rows)
    return (
        "\n".join([f"# {table.title}", "", f"{origin}{unfinished} {table.text}", "", *table.body(rows)])
        + "\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="table", required=True)
    for name, table in TABLES.items():
        command = commands.add_parser(name, help=table.title)
        command.add_argument("--output", type=Path, default=ROOT / "benchmarks" / f"{table.file}.csv")
        for axis, values in table.axes.items():
            command.add_argument(f"--{axis}s", dest=axis, nargs="+", type=type(values[0]), default=values)
    options = vars(parser.parse_args(arguments))
    table = TABLES[options["table"]]
    fill(table, {axis: options[axis] for axis in table.axes}, options["output"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
