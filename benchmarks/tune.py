"""Tune every method with the same number of tries, on digits that no table reports.

python benchmarks/tune.py                         or `make tune`: every method; continues where it stopped
python benchmarks/tune.py esd salun --tries 4     some of them
"""

import argparse
import copy
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from erasediff_pipeline.catalog import ClassifierFolder, LabelledImagesDataset
from erasediff_pipeline.data.task import ForgetTask, build_task
from erasediff_pipeline.diffusion.io import ModelWithHistory, load_model
from erasediff_pipeline.evaluation.judge import build_judge
from erasediff_pipeline.evaluation.measure import sample_model
from erasediff_pipeline.evaluation.metrics import evaluate_samples
from erasediff_pipeline.parameters import Parameters
from erasediff_pipeline.unlearning.erase import erase
from erasediff_pipeline.unlearning.registry import METHODS
from erasediff_pipeline.workspace import Workspace
from runs import ROOT, TUNED_ON, describe_origin, made_by, markdown, read_parameters

TRIES = 8
Suggest = Callable[[optuna.Trial, str], float]


def between(low: float, high: float, log: bool = True) -> Suggest:
    """Suggest a number of this range."""
    return lambda trial, name: trial.suggest_float(name, low, high, log=log)


RATE = {"learning_rate": between(3e-5, 1e-3)}
SPACES: dict[str, dict[str, Suggest]] = {
    "erasediff": RATE | {"fixed_lambda": between(0.1, 10)},
    "erasediff_robust": RATE | {"radius": between(0.03, 1)},
    "finetune": RATE,
    "neggrad": RATE | {"retain_weight": between(0.5, 1, log=False)},
    "random_label": RATE | {"retain_weight": between(0.1, 10)},
    "salun": RATE | {"mask_fraction": between(0.1, 1, log=False)},
    "selective_amnesia": RATE | {"ewc_weight": between(0.1, 1000)},
    "esd": RATE | {"negative_guidance": between(0.1, 3)},
    "blindspot": RATE | {"retain_weight": between(0.1, 10)},
}
"""Settings to search, in their ranges: the rate, and the setting of its own that matters most to a method."""
FIGURES = ("forget_accuracy", "retain_accuracy", "fid")
TEXT = f"""Each method has {TRIES} tries: its default settings, then those that optuna's TPE sampler (seed 0)
proposes. Every try erases the digits {TUNED_ON[0]} and {TUNED_ON[1]}, which no other table reports, with 500
steps of 32 images. It minimises the mean over the digits of forget accuracy + loss of retain accuracy +
logarithm of the FID ratio; the last two are against the base model, without guidance, and 0 where the erased
model is better. The best try is in **bold**."""


def measure(
    model: ModelWithHistory, task: ForgetTask, given: Parameters, classifier: Any
) -> dict[str, float]:
    """The figures of one model, without guidance."""
    sampling = given.sampling.model_copy(update={"guidance_scale": 0.0})
    drawn = sample_model(model.pipeline, task, sampling, given.evaluation, given.seed, "sample")
    roles = task.plan(given.evaluation)["role"].to_numpy()
    judge = build_judge(classifier, task.real, given.evaluation)
    found = evaluate_samples(judge.look(drawn), roles, judge)
    return {name: found[name] for name in FIGURES}


def objective(base: dict[str, float], erased: dict[str, float]) -> float:
    """Forget accuracy, and what the retained classes lost: 0 is best."""
    lost = max(0.0, base["retain_accuracy"] - erased["retain_accuracy"])
    return erased["forget_accuracy"] + lost + max(0.0, math.log(erased["fid"] / base["fid"]))


class Bench:
    """The tuning digits, and the base model's figures on each."""

    def __init__(self) -> None:
        self.parameters = read_parameters("base")
        self.given = Parameters.model_validate(self.parameters)
        layers = ROOT / "data"
        self.images = LabelledImagesDataset(str(layers / "03_primary/images")).load()
        self.manifest = pd.read_parquet(layers / "03_primary/manifest.parquet")
        self.classifier = ClassifierFolder(str(layers / "06_models/classifier")).load()
        self.base = load_model(layers / "06_models/base")
        self.tasks = {digit: self.task(digit) for digit in TUNED_ON}
        self.before = {
            digit: measure(self.base, task, self.given, self.classifier) for digit, task in self.tasks.items()
        }

    def task(self, digit: int) -> ForgetTask:
        request = self.given.forget.model_copy(update={"classes": [digit]})
        return build_task(self.images, self.manifest, request, self.given.captions)

    def try_settings(self, method: str, settings: dict[str, float]) -> dict[str, Any]:
        """Erase every tuning digit with these settings: the figures of each, and the objective."""
        entry = METHODS[method]
        chosen = entry.settings.model_validate(self.parameters[entry.parameters] | settings)
        row: dict[str, Any] = {}
        losses = []
        for digit, task in self.tasks.items():
            start = ModelWithHistory(copy.deepcopy(self.base.pipeline))
            with tempfile.TemporaryDirectory() as folder:
                erased = erase(method, start, task, chosen, self.given.seed, Workspace(Path(folder)))
            found = measure(erased.model, task, self.given, self.classifier)
            row |= {f"{name}_{digit}": found[name] for name in FIGURES}
            losses.append(objective(self.before[digit], found))
        return row | {"objective": sum(losses) / len(losses)}


def tune(bench: Bench, method: str, tries: int, output: Path) -> None:
    """Try settings of one method, and append a row for each; rows of an earlier call count."""
    space = SPACES[method]
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    defaults = bench.parameters[METHODS[method].parameters]
    study.enqueue_trial({name: defaults[name] for name in space})
    rows = pd.read_csv(output) if output.exists() else pd.DataFrame(columns=["method"])
    for row in rows[rows["method"] == method].to_dict("records"):
        trial = study.ask()
        for name, suggest in space.items():
            suggest(trial, name)
        study.tell(trial, row["objective"])
    for number in range(len(study.trials) - (len(rows[rows["method"] == method]) == 0), tries):
        trial = study.ask()
        settings = {name: float(f"{suggest(trial, name):.3g}") for name, suggest in space.items()}
        figures = bench.try_settings(method, settings)
        study.tell(trial, figures["objective"])
        row = {"method": method, "try": number, "tried": json.dumps(settings), **figures, **made_by("tried")}
        pd.DataFrame([row]).to_csv(output, mode="a", header=not output.exists(), index=False)


def render(rows: pd.DataFrame, before: dict[int, dict[str, float]]) -> str:
    """The page."""
    names = [f"{name}_{digit}" for digit in TUNED_ON for name in FIGURES]
    base = {f"{name}_{digit}": before[digit][name] for digit in TUNED_ON for name in FIGURES}
    head = ["method", "settings", *(f"{n.replace('_', ' ')}" for n in names), "objective"]
    cells = [["base model", "", *(f"{base[n]:.3f}" for n in names), ""]]
    for method, found in rows.groupby("method", sort=False):
        for _, row in found.iterrows():
            loss = f"{row['objective']:.3f}"
            loss = f"**{loss}**" if row["objective"] == found["objective"].min() else loss
            tried = ", ".join(f"{name} {value:g}" for name, value in json.loads(row["tried"]).items())
            cells.append([f"`{method}`", tried, *(f"{row[n]:.3f}" for n in names), loss])
    missing = [f"`{method}`" for method in SPACES if (rows["method"] == method).sum() < TRIES]
    unfinished = f" Unfinished, tries missing: {', '.join(missing)}." if missing else ""
    origin = describe_origin("make tune", rows) + unfinished
    return "\n".join(["# Tuning", "", f"{origin} {TEXT}", "", *markdown(head, cells, (0, 1))]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("methods", nargs="*", default=list(SPACES), help="the default is all of them")
    parser.add_argument("--tries", type=int, default=TRIES, help="for each method, in all")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/tuning.csv")
    options = parser.parse_args(arguments)
    bench = Bench()
    for method in options.methods:
        tune(bench, method, options.tries, options.output)
    options.output.with_suffix(".md").write_text(render(pd.read_csv(options.output), bench.before))
    return 0


if __name__ == "__main__":
    sys.exit(main())
