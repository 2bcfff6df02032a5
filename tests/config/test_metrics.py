"""A metric is declared once."""

import pandas as pd
import pytest

from erasediff_pipeline.config import Gate, GateSettings
from erasediff_pipeline.config.metrics import METRICS, Metric
from erasediff_pipeline.evidence.gates import check_gates
from erasediff_pipeline.experiments.comparison import COSTS, compared_metrics, summarise
from erasediff_pipeline.experiments.distance import COUNTS
from erasediff_pipeline.reporting.summary import list_rows
from tests.helpers.requests import request


@pytest.mark.parametrize(
    ("metrics", "values"),
    [
        ({"fid": 1.0, "unguided": {"fid": 3.0}, "forgotten": {"fid": 5.0}}, [3.0, 5.0]),
        ({"fid": 1.0}, [None] * 2),
    ],
)
def test_figures_of_a_part_are_read_apart(metrics, values):
    """Results of earlier versions have none."""
    assert [METRICS[name].read(metrics) for name in ("unguided_fid", "forgotten_fid")] == values


def test_a_new_line_is_known_to_gates_summary_and_comparison(monkeypatch):
    with pytest.raises(ValueError, match="unknown figure 'novelty'"):
        GateSettings(limits={"novelty": Gate(at_most=0.5)})
    new = Metric("novelty", "novelty", "1 is best", ("classes",), "retain_samples", compared=True)
    monkeypatch.setitem(METRICS, "novelty", new)
    of_model = {"novelty": 0.25, "retain_samples": 100, "forget_accuracy_by_class": None}
    metrics = {"forget": request().to_json(), "base": of_model, "erased": of_model}

    settings = GateSettings(limits={"novelty": Gate(at_most=0.5)})
    gate = check_gates(settings, metrics)[0]
    assert (gate["figure"], gate["status"]) == ("novelty", "held")
    assert gate["high"] == pytest.approx(0.343, abs=1e-3)
    by_ids = metrics | {"forget": request(by="ids").to_json()}
    assert check_gates(settings, by_ids)[0]["status"] == "left out"
    assert list_rows(metrics) == [("novelty", 0.25, 0.25, "1 is best", "novelty")]

    nothing = dict.fromkeys(compared_metrics() + COUNTS + COSTS)
    rows = [
        {"method": name, "seed": 0, **nothing, "novelty": value}
        for name, value in {"esd": 0.25, "retrain": 0.5}.items()
    ]
    assert list(summarise(pd.DataFrame(rows), 0.95)["novelty"]) == [0.25, 0.5]
