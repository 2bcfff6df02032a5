"""Figures of the benchmark, and how they are written down."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from runs import made_by


@dataclass(frozen=True)
class Measured:
    """One figure, and what it must be."""

    name: str
    value: float | None
    """None where it was not to be had; ``detail`` says why."""

    limit: float | None
    """The most that it may be; None where it is reported only."""

    detail: str

    why: str = ""
    """Why the limit is missed, as far as it is known; told where it is."""

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return "reported"
        return "reached" if self.value is not None and self.value <= self.limit else "missed"


def write_figures(figures: list[Measured], path: Path) -> None:
    """``path`` for programs, the same as a table for people beside it."""
    origin = made_by("")
    origin.pop("settings")
    rows = [{**asdict(figure), "verdict": figure.verdict} for figure in figures]
    document = {"command": "make benchmark", **origin, "figures": rows}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    path.with_suffix(".md").write_text(describe(figures, origin))


def describe(figures: list[Measured], origin: dict[str, str]) -> str:
    """The table; what is missed is named above it."""
    missed = [figure for figure in figures if figure.verdict == "missed"]
    lines = [
        "# How fast, and how small",
        "",
        f"`make benchmark` on {origin['machine']}; {origin['date']}; commit {origin['commit']}. "
        "The two sides of a ratio were measured side by side.",
        "",
        "Missed:" if missed else "No limit is missed.",
        *("- " + ": ".join(filter(None, (figure.name, figure.why))) for figure in missed),
        "",
        "| figure | measured | limit | | how |",
        "|---|--:|--:|---|---|",
    ]
    for figure in figures:
        value = "–" if figure.value is None else f"{figure.value:.3g}"
        limit = "" if figure.limit is None else f"≤ {figure.limit:g}"
        lines.append(f"| {figure.name} | {value} | {limit} | {figure.verdict} | {figure.detail} |")
    lines += [
        "",
        "![Step time and memory against parameters and image side, relative to the smallest](growth.png)",
    ]
    return "\n".join(lines) + "\n"
