import pandas as pd

from erasediff_pipeline.audits.inversion import DOUBLED
from erasediff_pipeline.audits.summaries import (
    summarise_damage,
    summarise_inversion,
    summarise_leakage,
    summarise_membership,
    summarise_relearning,
)
from erasediff_pipeline.config import AuditSettings


def test_relearning_by_lesson():
    taught, shares = ["forgotten"] * 3 + ["retained"] * 3, [0.0, 0.4, 0.6, 0.0, 0.1, 0.0]
    curves = pd.DataFrame({"taught": taught, "step": [0, 1, 2] * 2, "forget_accuracy": shares})
    summary = summarise_relearning(curves, 1.0, 1, AuditSettings())
    area = summary["forgotten"].pop("area")
    assert area["value"] == 0.5
    assert 0.36 < area["low"] < 0.5 < area["high"] < 0.64  # of 50 samples
    assert summary["forgotten"] == {"steps_to_half": 2, "forget_accuracy": {"0": 0.0, "1": 0.4, "2": 0.6}}
    assert summary["retained"]["steps_to_half"] is None


def test_the_best_of_all_starts():
    starts = {"own": 0.3, "random 1": 0.1, "random 2": 0.2, DOUBLED: 0.4}
    table = pd.DataFrame({"label": 3, "start": starts.keys(), "forget_accuracy": starts.values()})
    found = {"best": 0.4, "best_from_random": 0.2, "doubled": 0.4, "starts": starts}
    assert summarise_inversion(table) == {"3": found}


def test_membership_beside_the_retrained_model_or_without_one():
    own = {"auc": 0.6, "low": 0.5, "high": 0.7, "true_positive_rate": 0.1}
    beyond = {"beyond_retrained": 0.1, "beyond_low": 0.0, "beyond_high": 0.2}
    found = summarise_membership(pd.Series(own | beyond))
    assert found == own | {"beyond_retrained": {"value": 0.1, "low": 0.0, "high": 0.2}}
    alone = pd.Series(own | dict.fromkeys(beyond, float("nan")))
    assert summarise_membership(alone)["beyond_retrained"] is None


def test_leaks_by_the_worst_class():
    shares = pd.DataFrame({"asked_for": ["unconditional", "1", "2"], "share": [0.1, 0.0, 0.2]})
    worst = {"worst": 0.2, "worst_class": "2"}
    assert summarise_leakage(shares) == {"unconditional": 0.1, "retained": 0.1, **worst}


def test_what_was_not_checked_is_empty():
    curves = pd.DataFrame(columns=["taught", "step", "forget_accuracy"])
    assert summarise_relearning(curves, 1.0, 1, AuditSettings()) == {}
    assert summarise_inversion(pd.DataFrame(columns=["label", "start", "forget_accuracy"])) == {}
    assert summarise_leakage(pd.DataFrame(columns=["asked_for", "share"])) == {}


def test_the_worst_class_is_named():
    classes = pd.DataFrame(
        {"label": [1, 2], "retain_accuracy": [1.0, 0.9], "fid": 3.0, "precision": 0.5, "recall": 0.4}
    )
    summary = summarise_damage(classes)
    assert (summary["worst"], summary["worst_class"]) == (0.9, "2")
    assert summary["by_class"]["1"] == {"retain_accuracy": 1.0, "fid": 3.0, "precision": 0.5, "recall": 0.4}
