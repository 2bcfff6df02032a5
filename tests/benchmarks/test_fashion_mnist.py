import pandas as pd
import pytest

from fashion_mnist import misses, write_table

GOOD = {
    "base_forget_accuracy": 0.95,
    "forget_accuracy": 0.03,
    "base_retain_accuracy": 0.95,
    "retain_accuracy": 0.94,
    "base_fid": 10.0,
    "fid": 11.0,
    "run_seconds": 900,
}
ORIGIN = {"commit": "0123", "settings": "4567", "machine": "a CPU", "date": "2026-01-02"}


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, ""),
        ({"forget_accuracy": 0.035}, "forget accuracy"),
        ({"retain_accuracy": 0.9389}, "retain accuracy"),
        ({"fid": 11.01}, "FID"),
        ({"run_seconds": 901}, "time"),
        ({"forget_accuracy": 0.5, "fid": 20.0}, "forget accuracy, FID"),
        ({"fid": float("nan")}, "FID"),
    ],
)
def test_limits(change, missed):
    assert misses(pd.Series({**GOOD, **change})) == missed


def test_table_names_the_misses_and_says_that_it_is_unfinished(tmp_path):
    rows = pd.DataFrame(
        [
            {"label": 9, "class": "Ankle boot", **GOOD, **ORIGIN, "fid": 12.0},
            {"label": 8, "class": "Bag", **GOOD, **ORIGIN},
        ]
    )
    write_table(rows, tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    assert "Unfinished: 2 of 10 classes are there. 1 of 2 reach" in text
    assert "`make fashion-table` on a CPU; 2026-01-02; commit 0123; settings 4567." in text
    assert text.splitlines()[-2:] == [
        "| Bag | 0.950 | 0.030 | 0.9500 | 0.9400 | 10.00 | 11.00 | 15.0 |  |",
        "| Ankle boot | 0.950 | 0.030 | 0.9500 | 0.9400 | 10.00 | 12.00 | 15.0 | FID |",
    ]
