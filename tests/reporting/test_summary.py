import pandas as pd
import pytest

from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.data.class_names import names_of
from erasediff_pipeline.reporting.summary import (
    build_table,
    describe_drawn,
    describe_verdict,
    format_gates,
    format_metric,
    list_rows,
    warn_of_weak_base,
)
from erasediff_pipeline.tracking.numbers import flatten
from tests.reporting.conftest import text_of


def test_classes_have_the_names_of_their_source(metrics):
    names = names_of(pd.DataFrame({"label": [0, 3, 7, 0], "class": ["Coat", "3", "Bag", "Coat"]}))
    assert [row[0] for row in list_rows(metrics, names)[1:3]] == ["… of class 0 Coat", "… of class 3"]


def test_each_of_several_forgotten_classes_has_a_row_below_the_accuracy_of_all(metrics):
    rows = list_rows(metrics)
    names = ["forget accuracy", "… of class 0", "… of class 3", "forget probability"]
    assert [row[0] for row in rows[:4]] == names
    for row, label in zip(rows[1:3], ("0", "3"), strict=True):
        assert row.before == metrics["base"]["forget_accuracy_by_class"][label]
        assert row.after == metrics["erased"]["forget_accuracy_by_class"][label]
        assert row.hint == rows[0].hint


def test_a_single_class_is_not_told_twice(metrics):
    for which in ("base", "erased"):
        metrics[which]["forget_accuracy_by_class"] = {"0": metrics[which]["forget_accuracy"]}
    names = [row[0] for row in list_rows(metrics)]
    measured = [key for key, value in metrics["base"].items() if value is not None]
    assert names == [metric.label for name, metric in METRICS.items() if name in measured]


def test_what_was_not_measured_has_no_row(metrics):
    for which in ("base", "erased"):
        metrics[which] |= {key: None for key in metrics[which] if key.startswith("forget_")}
        metrics[which]["forget_membership_auc"] = 0.5
    names = [row[0] for row in list_rows(metrics)]
    keys = ("forget_membership_auc", "retain_accuracy", "fid", "precision", "recall")
    assert names == [METRICS[key].label for key in keys]


def test_what_the_forgotten_condition_draws_in_words(metrics, run):
    """Of two other classes, the one that is drawn most often; nothing if the classifier cannot reject."""
    drawn = {"none": 0.02, "other_class": 0.9, "other_classes": {"5": 0.3, "7": 0.6}}
    words = "the class 8.0%, another class 90.0% (most often 7 Bag), none of the classes 2.0%"
    metrics["erased"] |= {"forget_accuracy": 0.08, "forgotten": drawn}
    assert describe_drawn(metrics["erased"], {7: "Bag"}) == words
    table = text_of(build_table(metrics, run, GATES, "report.html", {7: "Bag"}))
    assert f"the forgotten condition now draws: {words} gates:" in " ".join(table.split())
    nothing = {"none": 1.0, "other_class": 0.0, "other_classes": {}}
    assert "another class 0.0%, none" in describe_drawn(metrics["erased"] | {"forgotten": nothing})
    for unknown in ({}, {"forgotten": dict.fromkeys(drawn)}):
        assert not describe_drawn({"forget_accuracy": 0.0} | unknown)


def test_what_was_not_measured_is_a_dash():
    assert (format_metric(None), format_metric(0.0), format_metric(0.12345)) == ("–", "0.0000", "0.1235")


GATES = [
    {"figure": "fid", "limit": "≤ 1", "status": "failed", "why": "missed by 0.5000"},
    {"figure": "recall", "limit": "≥ 0.1", "status": "held", "why": ""},
    {"figure": "membership_auc", "limit": "≤ 1", "status": "not checked", "why": "not audited yet"},
]


def test_gates_in_words():
    assert format_gates(GATES).splitlines() == [
        "gates: 1 failed, 1 held, 1 not checked",
        "gate failed: fid ≤ 1: missed by 0.5000",
        "Of 2 checked gates 1 failed; 1 gate needs an audit. Status: candidate.",
    ]
    assert format_gates([]).startswith("gates: none set")


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        (["held", "left out", "held"], "All checked gates held. Status: erased."),
        (["held", "not checked"], "All checked gates held; 1 gate was not checked. Status: candidate."),
        (["failed"], "Of 1 checked gates 1 failed. Status: candidate."),
        (["held", "undecided"], "Of 2 checked gates 1 undecided. Status: candidate."),
        (["undecided", "failed"], "Of 2 checked gates 1 failed, 1 undecided. Status: candidate."),
        (["not checked"] * 2, "No gate was checked; 2 gates were not checked. Status: candidate."),
        ([], "No gate was checked. Status: candidate."),
    ],
)
def test_the_verdict_in_words(statuses, said):
    assert describe_verdict([{"status": status, "why": "no limit"} for status in statuses]) == said


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(-0.0307, 0.0107, " (interval -0.0307 to 0.0107)"), (0.5, 0.5, "")],
)
def test_a_missed_gate_tells_the_interval_that_was_held_against_it(low, high, told):
    gate = GATES[0] | {"value": -0.01, "low": low, "high": high}
    for status in ("failed", "undecided"):
        (_, line, _) = format_gates([gate | {"status": status}]).splitlines()
        assert line == f"gate {status}: fid ≤ 1: missed by 0.5000{told}"


@pytest.mark.parametrize(("own", "weak"), [(0.703, True), (0.9, False)])
def test_a_weak_classifier_is_named_beside_each_accuracy(metrics, run, own, weak):
    for model in ("base", "erased"):
        metrics[model] |= {"classifier_accuracy": own, "classifier_images": 120}
    hints = {row.figure: row.hint for row in list_rows(metrics)}
    assert hints["forget_accuracy"] == "0 = forgotten" + "; the classifier's own is 0.703" * weak
    assert hints["retain_accuracy"] == "1 = retained" + "; the classifier's own is 0.703" * weak
    assert hints["fid"] == "0 is best"
    words = " ".join(text_of(build_table(metrics, run, GATES, "report.html")).split())
    said = "the classifier assigns 70.3% of 120 unseen real images to their class: no accuracy here can be"
    assert (said in words) is weak


@pytest.mark.parametrize(("accuracy", "doubted"), [(0.0, True), (0.49, True), (0.5, False), (1.0, False)])
def test_a_base_model_that_draws_nothing_known_is_doubted(metrics, run, accuracy, doubted):
    metrics["base"]["retain_accuracy"] = accuracy
    assert bool(warn_of_weak_base(metrics)) is doubted
    words = " ".join(text_of(build_table(metrics, run, GATES, "data/report.html")).split())
    assert (f"recognises only {accuracy:.1%} of the base model's" in words) is doubted


def test_table_holds_every_figure(metrics, run):
    text = text_of(build_table(metrics, run, GATES, "data/report.html"))
    for value in flatten({which: metrics[which] for which in ("base", "erased")}).values():
        assert not isinstance(value, float) or f"{value:.4f}" in text
    assert "membership" not in text
    assert "data/report.html" in text
    assert "15,360 denoiser evaluations" in text
