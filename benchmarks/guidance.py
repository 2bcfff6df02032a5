"""Table: how guidance changes the retained classes of the base models.

python benchmarks/guidance.py local tiny_text_to_image icons      or `make guidance` for the table
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from erasediff_pipeline.data.task import build_task
from erasediff_pipeline.evaluation.judge import build_judge
from erasediff_pipeline.evaluation.measure import draw_retained
from erasediff_pipeline.evaluation.metrics import evaluate_retained
from erasediff_pipeline.parameters import Parameters
from runs import ROOT, describe_origin, made_by, markdown

SCALES = (0.0, 0.25, 0.5, 1.0, 2.0)
FIGURES = ["retain_accuracy", "fid", "precision", "recall"]
TEXT = """Every scale starts from the same noise. FID is lowest in **bold**. The classes are those that the
environment's request retains; `default` marks the environment's `sampling.guidance_scale`."""


def measure_scales(environment: str) -> pd.DataFrame:
    """Measure the base model of an environment at every guidance scale, with the settings of its files."""
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, env=environment) as session:
        context = session.load_context()
    given = Parameters.model_validate(context.config_loader["parameters"])
    base, classifier, *data = map(context.catalog.load, ("base_model", "classifier", "images", "manifest"))
    task = build_task(*data, given.forget, given.captions, base.history)
    judge = build_judge(classifier, task.real, given.evaluation)
    rows = []
    for scale in SCALES:
        sampling = given.sampling.model_copy(update={"guidance_scale": scale})
        title = f"{environment}, w = {scale:g}"
        drawn = draw_retained(base.pipeline, task, sampling, given.evaluation, given.seed, title)
        figures = evaluate_retained(judge.look(drawn), judge)
        default = scale == given.sampling.guidance_scale
        rows.append({"environment": environment, "scale": scale, "default": default, **figures})
    return pd.DataFrame(rows)


def render(table: pd.DataFrame) -> str:
    """The page."""
    best = table["fid"] == table.groupby("environment")["fid"].transform("min")
    cells = [
        [
            row.environment,
            f"{row.scale:g}{' (default)' if row.default else ''}",
            f"{row.retain_accuracy:.3f}",
            f"**{row.fid:.2f}**" if lowest else f"{row.fid:.2f}",
            f"{row.precision:.3f}",
            f"{row.recall:.3f}",
        ]
        for row, lowest in zip(table.itertuples(), best, strict=True)
    ]
    head = ["environment", "guidance scale w", "retain accuracy", "FID", "precision", "recall"]
    origin = describe_origin("make guidance", table)
    return "\n".join(["# Guidance scale", "", f"{origin} {TEXT}", "", *markdown(head, cells, (0, 1))]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("environments", nargs="+", help="of Kedro; local is the digits")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/guidance.md")
    options = parser.parse_args(arguments)
    table = pd.concat([measure_scales(name) for name in options.environments], ignore_index=True)
    options.output.write_text(render(table.assign(**made_by("of the environment"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
