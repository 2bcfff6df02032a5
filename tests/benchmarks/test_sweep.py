import pandas as pd
import pytest

from sweep import misses, write_table

GOOD = {"forget_accuracy": 0.02, "retain_accuracy": 0.99, "fid_ratio": 1.10}
ORIGIN = {"commit": "0123", "settings": "4567", "machine": "a CPU", "date": "2026-01-02"}


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, ""),
        ({"forget_accuracy": 0.025}, "forget accuracy"),
        ({"retain_accuracy": 0.9889}, "retain accuracy"),
        ({"fid_ratio": 1.1001}, "FID"),
        ({"forget_accuracy": 0.5, "fid_ratio": 2.0}, "forget accuracy, FID"),
        ({"fid_ratio": float("nan")}, "FID"),
    ],
)
def test_limits(change, missed):
    assert misses(pd.Series({**GOOD, **change})) == missed


def test_table_names_the_misses_and_says_that_it_is_unfinished(tmp_path):
    common = {**GOOD, **ORIGIN, "base_fid": 16.0, "fid": 8.0}
    rows = pd.DataFrame(
        [{"digit": 4, "seed": 1, **common, "fid_ratio": 1.5}, {"digit": 4, "seed": 0, **common}]
    )
    write_table(rows, tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    assert "Unfinished: 2 of 30 runs are there. 1 of 2 runs reach" in text
    assert "`make sweep` on a CPU; 2026-01-02; commit 0123; settings 4567." in text
    assert text.splitlines()[-2:] == [
        "| 4 | 0 | 0.020 | 0.9900 | 16.00 | 8.00 | 1.100 |  |",
        "| 4 | 1 | 0.020 | 0.9900 | 16.00 | 8.00 | 1.500 | FID |",
    ]
