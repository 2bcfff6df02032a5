import subprocess

import pandas as pd
import pytest

import runs
from runs import describe_origin, made_by, read_rows

ORIGIN = {"commit": "0123456789ab", "settings": "123456789012", "machine": "a CPU", "date": "2026-01-02"}
ROW = {"digit": 4, **ORIGIN}
SETTINGS = {"erasediff": "123456789012"}


def write(path, *changes):
    pd.DataFrame([{**ROW, **change} for change in changes]).to_csv(path, index=False)
    return path


def test_rows_of_these_settings_are_read(tmp_path):
    """Also where the hash looks like a number; there are none without a table."""
    assert read_rows(tmp_path / "table.csv", SETTINGS).empty
    for settings in ("123456789012", "12e456789012"):
        rows = read_rows(write(tmp_path / "table.csv", {"settings": settings}), {"erasediff": settings})
        assert rows.to_dict("records") == [{**ROW, "settings": settings}]


def test_rows_of_other_settings_are_refused_and_kept(tmp_path):
    table = write(tmp_path / "table.csv", {}, {"settings": "fedcba987654"})
    before = table.read_text()
    said = r"table\.csv: rows of erasediff were made with other settings or models \(fedcba987654\): remove"
    with pytest.raises(SystemExit, match=said):
        read_rows(table, SETTINGS)
    assert table.read_text() == before


def test_rows_of_each_method_have_settings_of_their_own(tmp_path):
    """A method that comes later, or is tuned, leaves the rows of the others."""
    settings = {"esd": "123456789012", "salun": "fedcba987654"}
    rows = [{"method": method, "settings": made} for method, made in settings.items()]
    table = write(tmp_path / "table.csv", *rows)
    assert len(read_rows(table, settings | {"finetune": "0" * 12}, "method")) == 2
    with pytest.raises(SystemExit, match=r"rows of salun were made with .* \(fedcba987654\)"):
        read_rows(table, settings | {"salun": "0" * 12}, "method")


def test_origin_names_what_is_of_more_than_one_kind():
    """Where each method has its settings, the CSV tells them."""
    rows = pd.DataFrame([ROW, {**ROW, "date": "2026-01-03"}, {**ROW, "date": "2026-01-03"}])
    assert describe_origin("make sweep", rows) == (
        "`make sweep` on a CPU; 2026-01-02, 2026-01-03; commit 0123456789ab; settings 123456789012."
    )
    assert describe_origin("make sweep", rows.assign(settings=list("012"))).endswith("; settings in the CSV.")


@pytest.mark.parametrize(
    ("told", "commit", "machine"),
    [
        ({"git_commit": "0" * 40, "git_clean": True}, "0" * 12, "threads: 2"),
        ({"git_commit": "0" * 40}, f"{'0' * 12} with changes", "threads: 2"),
        ({"device": "H100", "packages": {"torch": "2"}}, "none with changes", "threads: 2, H100, torch 2"),
    ],
)
def test_a_row_names_commit_changes_machine_and_gpu(monkeypatch, told, commit, machine):
    same = {"git_commit": None, "git_clean": False, "threads": 2, "device": "cpu"}
    monkeypatch.setattr(runs, "describe_provenance", lambda parameters: same | told)
    row = made_by("123456789012")
    assert (row["commit"], row["settings"]) == (commit, "123456789012")
    assert row["machine"].endswith(machine)


def test_a_run_that_fails_ends_the_benchmark_with_what_it_said(monkeypatch):
    def run(command, **options):
        assert command[-1] == "--params=forget.classes=4,seed=1,gates.enforce=False"
        return subprocess.CompletedProcess(command, 1, "half of it\n", "Error: no such class\n")

    monkeypatch.setattr(runs.subprocess, "run", run)
    with pytest.raises(SystemExit, match=r"--pipeline=unlearn [^\n]*\nhalf of it\nError: no such class"):
        runs.run_pipeline("unlearn", "sweep", **{"forget.classes": 4, "seed": 1})
