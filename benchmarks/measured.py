"""Figures of the benchmark, and the files they are written to."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from runs import made_by, markdown


@dataclass(frozen=True)
class Measured:
    """One figure and its limit."""

    name: str
    value: float | None
    """None if it was not measured; ``detail`` says why."""

    limit: float | None
    """Upper limit; None if the figure is only reported."""

    detail: str

    why: str = ""
    """Why the limit is missed, if known; shown only if it is missed."""

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return "reported"
        return "reached" if self.value is not None and self.value <= self.limit else "missed"


def write_figures(figures: list[Measured], path: Path) -> None:
    """Write ``path`` as JSON, and the same as a Markdown table next to it."""
    origin = made_by("")
    origin.pop("settings")
    rows = [{**asdict(figure), "verdict": figure.verdict} for figure in figures]
    document = {"command": "make benchmark", **origin, "figures": rows}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    path.with_suffix(".md").write_text(describe(figures, origin))


def describe(figures: list[Measured], origin: dict[str, str]) -> str:
    """The page: missed limits first, then all figures."""
    missed = [figure for figure in figures if figure.verdict == "missed"]
    rows = [
        [
            figure.name,
            "–" if figure.value is None else f"{figure.value:.3g}",
            "" if figure.limit is None else f"≤ {figure.limit:g}",
            figure.verdict,
            figure.detail,
        ]
        for figure in figures
    ]
    lines = [
        "# How fast, and how small",
        "",
        f"`make benchmark` on {origin['machine']}; {origin['date']}; commit {origin['commit']}. "
        "The two sides of a ratio were measured side by side.",
        "",
        "Missed:" if missed else "No limit is missed.",
        *("- " + ": ".join(filter(None, (figure.name, figure.why))) for figure in missed),
        "",
        *markdown(["figure", "measured", "limit", "verdict", "how"], rows, [0, 3, 4]),
        "",
        "![Step time and memory against parameters and image side, relative to the smallest](growth.png)",
    ]
    return "\n".join(lines) + "\n"
