from itertools import product

import pandas as pd
import pytest

from erasediff_pipeline.reporting.audit import build_audit_table, draw_audit, list_findings
from tests.helpers.requests import request
from tests.reporting.conftest import text_of

FOUND = {
    "relearning": {
        "forgotten": {
            "area": {"value": 0.4, "low": 0.3, "high": 0.5},
            "reading": "over-erased",
            "steps_to_half": 4,
            "forget_accuracy": {"0": 0.0, "4": 0.6, "8": 1.0},
        },
        "retained": {
            "area": None,
            "steps_to_half": None,
            "forget_accuracy": {"0": 0.0, "4": 0.0, "8": 0.1},
        },
    },
    "inversion": {"3": {"best": 0.25, "best_from_random": 0.125, "doubled": 0.25, "starts": {}}},
    "membership": {"auc": 0.5, "low": 0.4, "high": 0.6, "true_positive_rate": 0.01},
    "leakage": {"unconditional": 0.02, "retained": 0.01, "worst": 0.1, "worst_class": "5"},
    "damage": {"worst": 0.95, "worst_class": "8", "by_class": {}},
}


def test_findings_as_text():
    assert {row.label: row.text for row in list_findings(FOUND)} == {
        "relearning area, forgotten images": "0.4000",
        "relearning area, retained images": "–",
        "relearning steps to half accuracy, forgotten images": "4",
        "relearning steps to half accuracy, retained images": "> 8",
        "inversion accuracy, class 3": "0.2500",
        "inversion accuracy, twice the steps, class 3": "0.2500",
        "inversion accuracy, random starts, class 3": "0.1250",
        "membership AUC": "0.5000",
        "membership AUC, interval": "0.400–0.600",
        "membership TPR at 1 % FPR": "0.0100",
        "leakage, no condition": "0.0200",
        "leakage, retained classes": "0.0100",
        "leakage, worst retained class": "5: 0.1000",
        "retain accuracy, worst class": "8: 0.9500",
    }


def test_of_several_inverted_classes_none_has_the_interval_of_the_worst():
    rows = list_findings(FOUND | {"inversion": {label: FOUND["inversion"]["3"] for label in "37"}})
    assert [row.figure for row in rows if row.label.startswith("inversion")] == [None] * 6


def test_the_table_names_what_was_not_checked():
    found = {**FOUND, "relearning": {}, "inversion": {}, "leakage": {}}
    document = {
        "model": "erasediff",
        "forget": request(by="ids", classes=[3], forget_images=7).to_json(),
        "not_checked": ["inversion: a request by ids keeps its classes"],
        "remarks": ["membership: nothing by heart"],
        "models": {"base": found, "erased": found},
    }
    text = text_of(build_audit_table(document, [], "report.html", {3: "bag", 8: "boot"}))
    assert "audit of erasediff: 7 images of class 3 bag forgotten" in text
    assert "8 boot: 0.9500" in text
    assert "not checked: inversion: a request by ids keeps its classes" in text
    assert "membership: nothing by heart" in text
    assert "relearning steps" not in text


def draw(relearning=(), inversion=(), leakage=()):
    """The rows of the three tables."""
    columns = ["model", "taught", "step", "forget_accuracy"], ["model", "label", "start", "forget_accuracy"]
    tables = zip((relearning, inversion, leakage), (*columns, ["model", "asked_for", "share"]), strict=True)
    return draw_audit(*(pd.DataFrame(list(rows), columns=names) for rows, names in tables)).axes


def test_the_figure_shows_every_model():
    models = ["base", "erased", "retrained"]
    relearning = product(models, ("forgotten", "retained"), (0, 1, 2), [0.5])
    inversion = [(m, 3, start, k / 4) for k, m in enumerate(models) for start in ("own", "random 1")]
    taught, kept, found, shown = draw(relearning, inversion, product(models, ["unconditional"], [0.1]))
    assert [len(axes.lines) for axes in (taught, kept)] == [3, 3]
    assert [bar.get_height() for bar in found.patches] == pytest.approx([0, 0, 0.25, 0.25, 0.5, 0.5])
    assert [label.get_text() for label in shown.get_xticklabels()] == ["unconditional"]


def test_nothing_measured_is_an_empty_figure():
    assert len(draw()) == 4
