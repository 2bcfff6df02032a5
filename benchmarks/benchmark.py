"""Time and memory, mostly as ratios of two things measured side by side on one machine.

    make benchmark    writes benchmarks/results.json, results.md and growth.png

Use an idle machine.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from commands_cost import around_the_nodes, split_of_a_million, two_processes
from growth import growth, on_a_gpu
from measured import Measured, write_figures
from runs import ROOT
from training_cost import Bench, sampling_cost, step_memory, step_overhead, time_to_forget


def main() -> int:
    """Measure one part after the other, then write all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results.json")
    options = parser.parse_args()
    bench, plot = Bench(), options.output.with_name("growth.part.png")
    parts: list[Callable[[], Measured | list[Measured]]] = [
        lambda: step_overhead(bench),
        lambda: time_to_forget(bench),
        lambda: sampling_cost(bench),
        lambda: step_memory(bench),
        around_the_nodes,
        split_of_a_million,
        two_processes,
        lambda: growth(plot),
        on_a_gpu,
    ]
    figures: list[Measured] = []
    for part in tqdm(parts, "benchmark", unit="part"):
        found = part()
        figures += (new := found if isinstance(found, list) else [found])
        for figure in new:  # at once: a later part may fail
            tqdm.write(f"{figure.name}: {figure.value} ({figure.detail})")
    os.replace(plot, options.output.with_name("growth.png"))
    write_figures(figures, options.output)
    missed = [figure for figure in figures if figure.verdict == "missed"]
    for figure in missed:
        print(f"missed: {figure.name}, ≤ {figure.limit}: {figure.value} ({figure.detail})", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
