import re

import pytest
from matplotlib.figure import Figure

from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.data.class_names import NO_NAMES
from erasediff_pipeline.reporting.report import render_report
from tests.helpers.page import Reader
from tests.helpers.requests import answered
from tests.reporting.conftest import assert_page
from tests.reporting.test_audit import FOUND

NAMES = {name: metric.label for name, metric in METRICS.items() if metric.compared and metric.part is None}


def audit_of(*models, **changes):
    found = FOUND | {"sha256": "e" * 64} | changes
    remarks = {"unanswered": {}, "remarks": ["erased: over-erased"]}
    return {"samples": 100, "not_checked": [], "models": dict.fromkeys(models, found), **remarks}


@pytest.fixture
def render(evidence):
    """``render(audit, names)``: the page."""

    def make(audit=None, names=NO_NAMES):
        grid, curves, audits = (Figure(figsize=(1, 1)) for _ in range(3))
        return render_report(evidence(audit), grid, curves, names, audits if audit else None)

    return make


def words_of(page):
    """As they follow one another, without tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def rows_of(page, cells):
    """The rows of so many cells, by the first."""
    return {row[0]: row[1:] for row in Reader(page).rows if len(row) == cells}


def interval(found):
    return f"{found['low']:.4f} to {found['high']:.4f}"


def test_the_verdict_and_each_gate_that_was_checked_or_not_are_told(render, evidence):
    fid, recall = (gate for gate in evidence()["gates"] if gate["status"] in ("failed", "undecided"))
    shown = rows_of(render(), 5)
    assert shown[NAMES["fid"]] == ["≤ 0.1", f"{fid['value']:.4f}", "", f"failed: {fid['why']}"]
    assert shown[NAMES["recall"]][:3] == ["≥ base + 0.9", f"{recall['value']:.4f}", interval(recall)]
    assert NAMES["precision"] not in shown
    words = words_of(render())
    assert "Of 2 checked gates 2 failed; 12 gates were not checked. Status: candidate." in words
    assert "precision: no limit in gates.limits.precision" in words
    assert "audits: kedro run --pipeline=audit" in words


def test_what_the_forgotten_condition_draws_is_told(render, metrics):
    drawn = {"none": 0.1, "other_class": 0.25, "other_classes": {"7": 0.25}, "fid": 9.5, "precision": 0.75}
    for which in ("base", "erased"):
        metrics[which]["forgotten"] = drawn
    page = render(names={7: "Bag"})
    words = "another class 25.0% (most often 7 Bag), none of the classes 10.0%"
    assert words_of(page).count(words) == 2
    assert rows_of(page, 4)[METRICS["forgotten_fid"].label][:2] == ["9.5000", "9.5000"]


def test_audits_are_told_beside_each_other(render, evidence):
    audit = audit_of("base", "erased", "retrained")
    page = render(audit)
    found = evidence(audit)["figures"]["retrained"]["inversion_accuracy"]
    assert rows_of(page, 4)["inversion accuracy, class 3"] == [f"0.2500{interval(found)}"] * 3
    assert "brings it back in 25.0 % of the samples (retrained model: 25.0 %)" in words_of(page)
    assert "No audit can prove that nothing is left." in words_of(page)
    assert "erased: over-erased." in words_of(page)
    assert_page(page, pictures=3)


def test_classes_are_named_wherever_the_page_speaks_of_them(render, evidence):
    kept = {"8": dict.fromkeys(("retain_accuracy", "fid", "precision", "recall"), 0.5)}
    audit = audit_of("base", "erased", damage=FOUND["damage"] | {"by_class": kept})
    page = render(audit, {0: "<b>Coat", 3: "Dress", 5: "Sandal", 8: "Bag"})
    assert "forget class 0 &lt;b&gt;Coat, 3 Dress (142 images)" in words_of(page)
    assert "the embedding of class 3 Dress brings it back" in words_of(page)
    rows = {row[0]: row[1] for row in Reader(page).rows if len(row) > 1}
    assert {"… of class 0 <b>Coat", "… of class 3 Dress", "8 Bag"} <= set(rows)
    assert rows["leakage, worst retained class"].startswith("5 Sandal: 0.1000")
    assert rows["retain accuracy, worst class"].startswith("8 Bag: 0.9500")
    found = evidence(audit)["figures"]["base"]["inversion_accuracy"]
    assert rows["inversion accuracy, class 3 Dress"].endswith(interval(found))
    assert_page(page, pictures=3)


def test_a_base_model_that_draws_nothing_known_is_doubted(render, metrics):
    assert 'id="doubt"' not in render()
    metrics["base"]["retain_accuracy"] = 0.1
    assert "Warning: the classifier recognises only 10.0% of the base model" in render()


def test_every_figure_is_that_of_the_metrics_and_shares_have_their_intervals(render, metrics, evidence):
    rows = rows_of(render(), 4)
    for cell, which in enumerate(("base", "erased")):
        measured = {NAMES[key]: metrics[which][key] for key in NAMES if metrics[which][key] is not None}
        assert len(measured) == 7
        measured |= {f"… of class {k}": v for k, v in metrics[which]["forget_accuracy_by_class"].items()}
        expected = {name: f"{value:.4f}" for name, value in measured.items()}
        for key in ("forget_accuracy", "retain_accuracy", "precision", "recall"):
            expected[NAMES[key]] += interval(evidence()["figures"][which][key])
        assert {name: row[cell] for name, row in rows.items() if name != "metric"} == expected


def test_request_by_ids_shows_membership_and_no_forgotten_class(render, metrics):
    metrics["forget"]["by"] = "ids"
    for which, auc in (("base", 0.7), ("erased", 0.55)):
        metrics[which] |= dict.fromkeys(key for key in NAMES if key.startswith("forget"))
        metrics[which]["forget_accuracy_by_class"] = None
        metrics[which]["forget_membership_auc"] = auc
    page = render()
    figures = rows_of(page, 4)
    assert figures["membership AUC"][:2] == ["0.7000", "0.5500"]
    assert not [name for name in figures if name.startswith("forget") or "of class" in name]
    assert "142 images of class 0, 3" in page
    assert "an AUC of 0.70 before and 0.55 after" in words_of(page)


def test_counts_cost_request_provenance_and_parameters_are_told(render):
    page = render()
    request = ["class 0, 3 (142 images)", "201 samples", "902 under retained conditions", "1293 real"]
    cost = ["40 steps", "15,360 denoiser evaluations", "12.3 s", "2.00 GiB", "abcdef012345"]
    assert not [text for text in request + cost if text not in page]
    rows = rows_of(page, 2)
    assert rows["git commit"] == ["0123abcd"]
    assert rows["packages"] == ["torch 2.14.1, kedro 1.7.0"]
    assert "&#34;eta&#34;: 1.25" in page
    assert "parameters" not in rows


def test_a_sentence_says_it_without_terms(render, metrics):
    words = words_of(render())
    assert "forget class 0, 3 (142 images)" in words
    assert "earlier" not in words
    before, kept = (100 * metrics["base"][key] for key in ("forget_accuracy", "retain_accuracy"))
    assert f"the base model draws it in {before:.1f} % of the samples" in words
    assert f"Of the retained classes, {kept:.1f} % of the samples are right" in words
    assert f"the erased model in {100 * metrics['erased']['forget_accuracy']:.1f} %" in words
    assert "AUC" not in words.split("Method")[0]


def test_a_sentence_says_what_earlier_requests_do_to_it(render, metrics):
    metrics["forget"] |= {"classes": [3], "earlier": [answered(0).to_json()]}
    words = words_of(render())
    assert "Asked for a forgotten class," in words
    assert "Classes of earlier requests are included." in words


def test_values_are_escaped(render, metrics, run):
    evil = "<script>alert(1)</script>"
    metrics["method"] = metrics["erased"]["fid_backend"] = evil
    run["provenance"]["git_commit"] = evil
    run["provenance"]["packages"][evil] = evil
    run["provenance"]["parameters"]["forget"] = f"</pre>{evil}"
    before = render().count("&lt;script&gt;")
    metrics["forget"] |= {"by": "prompts", "prompts": [evil]}
    page = render()
    assert "script" not in Reader(page).tags
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > before >= 6


def test_the_page_fetches_nothing_and_opens_with_the_verdict_and_the_picture(render):
    page = render()
    assert_page(page, pictures=2)
    assert page.index('id="verdict"') < page.index("<img") < page.index("<table")


def test_what_was_not_checked_is_said_as_it_is(evidence):
    found = evidence()
    found["not_checked"] = ["fid: not audited yet: kedro run --env=tiny_text_to_image --pipeline=audit"]
    page = render_report(found, Figure(figsize=(1, 1)), Figure(figsize=(1, 1)), {})
    assert f"<li>{found['not_checked'][0]}</li>" in page


def test_an_audit_without_inversion_ends_no_sentence_halfway(evidence):
    models = {name: FOUND | {"inversion": {}} for name in ("base", "erased")}
    audit = audit_of() | {"models": models}
    page = render_report(evidence(audit), *(Figure(figsize=(1, 1)) for _ in range(2)), {})
    assert "still hold:" not in page
    assert "No audit can prove that nothing is left." in page


@pytest.mark.parametrize(("own", "weak"), [(0.703, True), (0.99, False)])
def test_the_accuracy_of_the_classifier_stands_beside_the_figures(evidence, metrics, own, weak):
    for model in ("base", "erased"):
        metrics[model] |= {"classifier_accuracy": own, "classifier_images": 120}
    page = render_report(evidence(), Figure(figsize=(1, 1)), Figure(figsize=(1, 1)), {})
    said = f"the classifier assigns {own:.1%} of 120 unseen real images to their class"
    assert f"Accuracies are the classifier&#39;s: {said}.".replace("&#39;", "'") in page
    assert (f"Warning: {said}: no accuracy here can be trusted above that." in page) is weak
