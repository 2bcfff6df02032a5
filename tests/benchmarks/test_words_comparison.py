import pandas as pd

from erasediff_pipeline.experiments.comparison import COSTS, METRICS
from words_comparison import write_table

ORIGIN = {"commit": "0123", "settings": "4567", "machine": "a CPU", "date": "2026-01-02"}


def test_the_nearest_comes_first_and_the_front_is_named(tmp_path):
    """By hand: ESD has the lower FID, but more of the word is left, and it is further from the gold."""
    common = {**dict.fromkeys(METRICS, 0.5), **dict.fromkeys(COSTS, 60.0), "seed": 0, **ORIGIN}
    rows = [
        {**common, "method": "base", "forget_accuracy": 1.0, "fid": 9.0},
        {**common, "method": "esd", "forget_accuracy": 0.4, "fid": 8.0},
        {**common, "method": "uce", "forget_accuracy": 0.1, "fid": 11.0},
        {**common, "method": "retrain", "forget_accuracy": 0.0, "fid": 10.0},
    ]
    write_table(pd.DataFrame(rows), tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    assert "`make compare-words` on a CPU; 2026-01-02; commit 0123; settings 4567." in text
    named = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    assert named == ["`retrain`", "`uce`", "`esd`", "`base`"]
    assert "Nearest to the retrained model: `uce`. On the Pareto front" in text
    assert text.splitlines()[-1].endswith("`esd`, `uce`.")
