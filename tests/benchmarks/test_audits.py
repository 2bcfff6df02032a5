import pandas as pd
import pytest

import audits
from audits import misses, row_of, write_table
from erasediff_pipeline.unlearning.registry import METHODS

GOLD = {
    "relearning_steps_forgotten": 8.0,
    "relearning_steps_retained": 128.0,
    "inversion_accuracy": 0.7,
    "inversion_accuracy_random": 0.6,
    "membership_auc": 0.5,
    "membership_low": 0.4,
    "membership_high": 0.6,
    "membership_true_positive_rate": 0.0,
    "leakage_unconditional": 0.0,
    "leakage_retained": 0.0,
    "leakage_worst": 0.01,
    "damage_worst": 0.97,
}
ORIGIN = {"commit": "0123", "settings": "4567", "machine": "a CPU", "date": "2026-01-02"}


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, ""),
        ({"inversion_accuracy": 0.75}, ""),
        ({"inversion_accuracy": 0.76}, "inversion"),
        ({"relearning_steps_forgotten": 4.0}, "relearning"),
        ({"relearning_steps_forgotten": 128.0}, ""),
        ({"membership_auc": 0.59}, ""),
        ({"membership_auc": 0.39, "inversion_accuracy": 0.9}, "inversion, membership"),
    ],
)
def test_limits(change, missed):
    assert misses(pd.Series({**GOLD, **change}), pd.Series(GOLD)) == missed


def test_a_row_has_every_figure():
    found = {
        "relearning": {
            t: {"steps_to_half": 4, "forget_accuracy": {"4": 1.0}} for t in ("forgotten", "retained")
        },
        "inversion": {"3": {"best": 0.7, "best_from_random": 0.6}},
        "membership": {"auc": 0.5, "low": 0.4, "high": 0.6, "true_positive_rate": 0.0},
        "leakage": {"unconditional": 0.0, "retained": 0.0, "worst": 0.01},
        "damage": {"worst": 0.97},
    }
    steps = dict.fromkeys(("relearning_steps_forgotten", "relearning_steps_retained"), 4.0)
    assert row_of(found, 100) == GOLD | steps


def test_the_table_counts_what_is_missed(tmp_path):
    rows = [
        {"digit": digit, "model": model, **GOLD, **change, **ORIGIN}
        for digit in (3, 4)
        for model, change in (("erasediff", {"inversion_accuracy": 1.1 - digit / 10}), ("retrain", {}))
    ]
    write_table(pd.DataFrame(rows), tmp_path / "table.md")
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert "Unfinished: only 3, 4." in lines[2]
    assert "| `retrain` | 2 | 2 | 0 | 0 | 0 |" in lines
    assert "| `erasediff` | 2 | 1 | 1 | 0 | 0 |" in lines
    held = [line.split(" | ")[-1].strip(" |") for line in lines if line.startswith("| `erasediff` | 8 ")]
    assert held == ["inversion", ""]


def test_what_is_there_is_not_run_again(tmp_path, monkeypatch):
    ran = []

    def run_one(digit, method, settings):
        ran.append((digit, method))
        models = ("base", "erasediff", "retrain") if method == "erasediff" else (method,)
        rows = [{"digit": digit, "model": m, **GOLD, **ORIGIN, "settings": settings[m]} for m in models]
        return pd.DataFrame(rows)

    monkeypatch.setattr(audits, "copy_reference", lambda: None)
    settings = {name: f"of {name}" for name in ("base", *METHODS)}
    monkeypatch.setattr(audits, "hash_settings", lambda sections: settings)
    monkeypatch.setattr(audits, "run_one", run_one)
    for arguments in (["--digits", "3", "--methods"], ["--digits", "3", "4", "--methods", "finetune"]):
        monkeypatch.setattr("sys.argv", ["audits.py", *arguments, "--output", str(tmp_path / "t.csv")])
        assert audits.main() == 0
    assert ran == [(3, "erasediff"), (3, "finetune"), (4, "erasediff"), (4, "finetune")]
    assert len(pd.read_csv(tmp_path / "t.csv")) == 2 * 4


@pytest.mark.parametrize("lost", ["base", "erasediff", "retrain"])
def test_what_all_are_held_against_is_made_together(lost):
    done = {(3, model) for model in ("base", "erasediff", "retrain", "esd")} - {(3, lost)}
    assert audits.list_work([3], ["esd"], done) == [(3, "erasediff")]


def test_every_method_that_forgets_classes_is_audited():
    assert {*audits.OTHERS, "erasediff", "retrain"} == set(METHODS) - {"uce"}
