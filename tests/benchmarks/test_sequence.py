import pandas as pd
import pytest

from sequence import write_table

ORIGIN = {"commit": "0123", "settings": "4567", "machine": "a CPU", "date": "2026-01-02"}


def table(path, second, retain_accuracy=0.99):
    first = {"0": 0.0}
    rows = [
        {"digit": digit, "by_class": by_class, "retain_accuracy": retain_accuracy, "fid": 9.0, **ORIGIN}
        for digit, by_class in ((0, first), (1, second))
    ]
    write_table(pd.DataFrame(rows), path)
    return path.read_text()


def test_each_request_measures_every_digit_so_far(tmp_path):
    page = table(tmp_path / "table.md", {"0": 0.02, "1": 0.04})
    assert "| 0 | 0.000 | – | 0.9900 | 9.00 |" in page
    assert "| 1 | 0.020 | 0.040 | 0.9900 | 9.00 |" in page


@pytest.mark.parametrize(
    ("second", "retain_accuracy", "missed"),
    [
        ({"0": 0.05, "1": 0.05}, 0.97, "none"),
        ({"0": 0.055, "1": 0.0}, 0.97, "forget accuracy of 0 (0.055)"),
        (
            {"0": 0.1, "1": 0.2},
            0.96,
            "forget accuracy of 0 (0.100), forget accuracy of 1 (0.200), retain accuracy (0.9600)",
        ),
    ],
)
def test_what_the_end_misses_is_named(tmp_path, second, retain_accuracy, missed):
    assert table(tmp_path / "table.md", second, retain_accuracy).endswith(f"Missed: {missed}.\n")
