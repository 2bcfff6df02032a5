import pandas as pd
import pytest

from words import misses, write_table

GOOD = {
    "forget_accuracy": 0.02,
    "forget_accuracy_erased_prompts": 0.0,
    "forget_accuracy_synonyms": 0.05,
    "retain_accuracy": 0.98,
}
ORIGIN = {"commit": "0123", "settings": "4567", "machine": "a CPU", "date": "2026-01-02"}


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, ""),
        ({"forget_accuracy": 0.025}, "forget accuracy, unseen sentences"),
        ({"forget_accuracy_synonyms": 0.055}, "synonym"),
        ({"retain_accuracy": 0.9789}, "retain accuracy"),
        (
            {"forget_accuracy_erased_prompts": 0.03, "retain_accuracy": 0.5},
            "sentences erased in, retain accuracy",
        ),
        ({"forget_accuracy": float("nan")}, "forget accuracy, unseen sentences"),
    ],
)
def test_limits(change, missed):
    assert misses(pd.Series({**GOOD, **change})) == missed


def test_table_names_the_misses_and_says_that_it_is_unfinished(tmp_path):
    before = {f"base_{key}": 0.99 for key in GOOD}
    common = {**GOOD, **before, **ORIGIN, "base_fid": 16.0, "fid": 8.0, "unlearn_seconds": 41.6}
    rows = pd.DataFrame([{"word": "three", **common}, {"word": "four", **common, "retain_accuracy": 0.5}])
    write_table(rows, tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    assert "Unfinished: 2 of 10 are there. 1 of 2 reach forget accuracy" in text
    assert "at least 0.990" in text
    assert "`make words` on a CPU; 2026-01-02; commit 0123; settings 4567." in text
    assert text.splitlines()[-2:] == [
        "| three | 0.020 | 0.000 | 0.050 | 0.9800 | 16.00 | 8.00 | 42 |  |",
        "| four | 0.020 | 0.000 | 0.050 | 0.5000 | 16.00 | 8.00 | 42 | retain accuracy |",
    ]
