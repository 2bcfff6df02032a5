import pandas as pd
import pytest

from comparison import list_work, write_table
from erasediff_pipeline.experiments.comparison import COSTS, METRICS
from erasediff_pipeline.unlearning.registry import METHODS

ORIGIN = {"commit": "0123", "settings": "4567", "machine": "a CPU", "date": "2026-01-02"}


def trial(digit, method, seed, **measured):
    same = dict.fromkeys(METRICS, 0.5) | {"forget_membership_auc": None}
    costs = dict.fromkeys(COSTS, None if method == "base" else 30.0)
    return {"digit": digit, "method": method, "seed": seed, **same, **costs, **ORIGIN, **measured}


@pytest.fixture
def page(tmp_path):
    """Two digits; of digit 0, two methods have three seeds."""
    trials = [
        trial(digit, method, 0, forget_accuracy=accuracy + digit / 10)
        for digit in (0, 1)
        for method, accuracy in (("base", 0.9), ("erasediff", 0.2), ("retrain", 0.1))
    ]
    # Leaves as much of the digit 0 at a worse FID, and less of the digit 1.
    trials += [
        trial(0, "esd", 0, forget_accuracy=0.2, fid=0.6),
        trial(1, "esd", 0, fid=9.0, forget_accuracy=0),
    ]
    trials += [
        trial(0, method, seed, forget_accuracy=accuracy)
        for method, accuracy in (("erasediff", 0.5), ("retrain", 0.1))
        for seed in (1, 2)
    ]
    write_table(pd.DataFrame(trials), tmp_path / "table.md")
    return (tmp_path / "table.md").read_text()


def section(page, title):
    """``{method: cells}``."""
    (part,) = (part for part in page.split("\n## ") if part.startswith(title))
    rows = [line.split("|")[1:-1] for line in part.splitlines() if line.startswith("| `")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def test_means_over_the_digits_are_of_the_first_seed(page):
    means = section(page, "Means over 2 digits")
    assert list(means) == ["`retrain`", "`erasediff`", "`base`", "`esd`"]  # by distance
    # Of 0.2 and 0.3: the mean, and t(1 degree of freedom, 97.5 %) · 0.0707 / √2.
    assert means["`erasediff`"][0] == "0.250 ± 0.635"
    assert means["`base`"][-2] == "–"  # its seconds
    # One of seven metrics differs, by 0.1 and by 0.1.
    assert means["`erasediff`"][-1] == "0.014 ± 0.000"


def test_seeds_of_the_default_request(page):
    seeds = section(page, "Digit 0, 3 seeds")
    assert list(seeds) == ["`retrain`", "`erasediff`"]
    assert seeds["`erasediff`"][0].startswith("0.400 ±")


def test_digit_by_digit(page):
    assert section(page, "Forget accuracy, digit by digit")["`erasediff`"] == ["0.200", "0.300"]
    assert "Unfinished: only 0, 1." in page


def test_which_methods_are_on_the_front(page):
    assert section(page, "On the Pareto front") == {"`erasediff`": ["●", "●", "2"], "`esd`": ["", "●", "1"]}


def test_the_winner_is_said_plainly(page):
    assert "Nearest to the retrained model: `erasediff`." in page
    assert "on the Pareto front, below: `erasediff` 2, `esd` 1." in page


def test_only_what_is_missing_is_run():
    methods = [m for m in METHODS if m not in ("uce", "salun")]
    wanted = [*methods[:2], "salun", *methods[2:]]
    done = {(4, method, 0) for method in ("base", *methods)}
    assert list_work([4, 7], wanted, done) == [(7, None, (0,)), (4, "salun", (0,))]
    without_gold = done - {(4, "retrain", 0)}
    assert list_work([4], wanted, without_gold) == [(4, "salun", (0,)), (4, "retrain", (0,))]
    done = {(0, method, 0) for method in ("base", *wanted)}
    assert list_work([0], wanted, done) == [(0, "erasediff", (1, 2)), (0, "retrain", (1, 2))]
    assert list_work([0], wanted, done | {(0, method, 2) for method in METHODS}) == []


def test_a_method_that_is_not_compared_is_not_run():
    done = {(0, "base", 0), (0, "retrain", 0)}
    assert list_work([0], ["retrain", "esd"], done) == [(0, "esd", (0,)), (0, "retrain", (1, 2))]
