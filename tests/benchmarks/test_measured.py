import json

import pytest

from measured import Measured, write_figures


@pytest.mark.parametrize(
    ("value", "limit", "verdict"),
    [
        (1.1, 1.1, "reached"),
        (1.2, 1.1, "missed"),
        (None, 1.1, "missed"),
        (float("nan"), 1.1, "missed"),
        (5.0, None, "reported"),
        (None, None, "reported"),
    ],
)
def test_verdicts(value, limit, verdict):
    assert Measured("a ratio", value, limit, "how").verdict == verdict


def test_what_is_written(tmp_path):
    figures = [
        Measured("time", 1.04, 1.1, "2 s ÷ 1.9 s", "never told"),
        Measured("memory", 1.5, 1.25, "3 MB ÷ 2 MB", "two copies"),
        Measured("evaluations", None, 0.02, "no FID"),
        Measured("processes", None, None, "not measured: one core"),
    ]
    write_figures(figures, tmp_path / "results.json")
    document = json.loads((tmp_path / "results.json").read_text())
    assert set(document) == {"command", "machine", "commit", "date", "figures"}
    said = {"name": "memory", "detail": "3 MB ÷ 2 MB", "why": "two copies", "verdict": "missed"}
    assert document["figures"][1] == said | {"value": 1.5, "limit": 1.25}
    table = (tmp_path / "results.md").read_text()
    assert "\nMissed:\n- memory: two copies\n- evaluations\n\n" in table
    assert "never told" not in table
    assert "| time | 1.04 | ≤ 1.1 | reached | 2 s ÷ 1.9 s |" in table
    assert "| processes | – |  | reported | not measured: one core |" in table
