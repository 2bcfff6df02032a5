import base64
import re

import pytest
from matplotlib.figure import Figure

from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.reporting.report import render_report
from tests.helpers.page import Reader, assert_self_contained
from tests.helpers.requests import answered
from tests.reporting.test_audit import FOUND

NAMES = {name: metric.label for name, metric in METRICS.items() if metric.compared}
INTERVAL = r"(?<=\.\d{4})\d\.\d{4} to \d\.\d{4}$"
"""As text, it follows its figure at once."""


@pytest.fixture
def render(evidence):
    return lambda: render_report(evidence(), *(Figure(figsize=(1, 1)) for _ in range(2)), {})


def figures_in(page):
    """``{name: (before, after)}``, without intervals."""
    rows = [row for row in Reader(page).rows if len(row) == 4 and row[0] != "metric"]
    return {row[0]: tuple(re.sub(INTERVAL, "", cell) for cell in row[1:3]) for row in rows}


def gates_in(page):
    """``{figure: (limit, value, interval, status)}``."""
    labels = {metric.label: name for name, metric in METRICS.items()}
    return {
        labels[row[0]]: tuple(row[1:]) for row in Reader(page).rows[1:] if len(row) == 5 and row[0] in labels
    }


def test_each_gate_that_was_checked_is_told(render, evidence):
    fid, recall = (gate for gate in evidence()["gates"] if gate["status"] == "failed")
    shown = gates_in(render())
    assert shown["fid"] == ("≤ 0.1", f"{fid['value']:.4f}", "", f"failed: {fid['why']}")
    interval = f"{recall['low']:.4f} to {recall['high']:.4f}"
    assert shown["recall"][:3] == ("≥ base + 0.9", f"{recall['value']:.4f}", interval)
    assert "precision" not in shown


def test_the_verdict_and_what_was_not_checked_are_told(render):
    words = " ".join(re.sub(r"<[^>]+>", " ", render()).split())
    assert "2 of 2 checked gates failed; 10 gates were not checked. Status: candidate." in words
    assert "precision: no limit in gates.limits.precision" in words
    assert "audits: kedro run --pipeline=audit" in words


def test_audits_are_told_beside_each_other(evidence):
    models = {name: FOUND | {"sha256": "e" * 64} for name in ("base", "erased", "retrained")}
    audit = {"samples": 100, "not_checked": [], "models": models}
    grid, curves, audits = (Figure(figsize=(1, 1)) for _ in range(3))
    page = render_report(evidence(audit), grid, curves, {}, audits)
    row = next(row for row in Reader(page).rows if row[:1] == ["inversion accuracy, class 3"])
    found = evidence(audit)["figures"]["retrained"]["inversion_accuracy"]
    assert row[1:] == [f"0.2500{found['low']:.4f} to {found['high']:.4f}"] * 3
    assert len(Reader(page).fetched) == 3
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "brings it back in 25.0 % of the samples (retrained model: 25.0 %)" in words
    assert "No audit can prove that nothing is left." in words
    assert_self_contained(page)


def test_classes_are_named_wherever_the_page_speaks_of_them(evidence):
    kept = {"8": dict.fromkeys(("retain_accuracy", "fid", "precision", "recall"), 0.5)}
    found = FOUND | {"sha256": "e" * 64, "damage": FOUND["damage"] | {"by_class": kept}}
    audit = {"samples": 100, "not_checked": [], "models": {"base": found, "erased": found}}
    grid, curves, audits = (Figure(figsize=(1, 1)) for _ in range(3))
    names = {0: "<b>Coat", 3: "Dress", 5: "Sandal", 8: "Bag"}
    page = render_report(evidence(audit), grid, curves, names, audits)
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "forget class 0 &lt;b&gt;Coat, 3 Dress (142 images)" in words
    assert "the embedding of class 3 Dress brings it back" in words
    rows = {row[0]: row[1] for row in Reader(page).rows if len(row) > 1}
    assert {"… of class 0 <b>Coat", "… of class 3 Dress", "8 Bag"} <= set(rows)
    assert rows["leakage, worst retained class"].startswith("5 Sandal: 0.1000")
    assert rows["retain accuracy, worst class"].startswith("8 Bag: 0.9500")
    interval = evidence(audit)["figures"]["base"]["inversion_accuracy"]
    assert rows["inversion accuracy, class 3 Dress"].endswith(
        f"{interval['low']:.4f} to {interval['high']:.4f}"
    )
    assert_self_contained(page)


def test_a_base_model_that_draws_nothing_known_is_doubted(render, metrics):
    assert 'id="doubt"' not in render()
    metrics["base"]["retain_accuracy"] = 0.1
    assert "Warning: the classifier recognises only 10.0% of the base model" in render()


def test_every_figure_is_that_of_the_metrics(render, metrics):
    shown = {key: name for key, name in NAMES.items() if metrics["base"][key] is not None}
    assert len(shown) == 7
    figures = {name: [metrics[which][key] for which in ("base", "erased")] for key, name in shown.items()}
    for label in ("0", "3"):
        both = [metrics[which]["forget_accuracy_by_class"][label] for which in ("base", "erased")]
        figures[f"… of class {label}"] = both
    assert figures_in(render()) == {
        name: (f"{before:.4f}", f"{after:.4f}") for name, (before, after) in figures.items()
    }


def test_shares_have_their_intervals(render, evidence):
    rows = {row[0]: row[1:3] for row in Reader(render()).rows if len(row) == 4}
    figures = evidence()["figures"]
    for key in ("forget_accuracy", "retain_accuracy", "precision", "recall"):
        for cell, which in zip(rows[NAMES[key]], ("base", "erased"), strict=True):
            found = figures[which][key]
            assert cell == f"{found['value']:.4f}{found['low']:.4f} to {found['high']:.4f}"
    assert not [cell for key in ("fid", "forget_entropy") for cell in rows[NAMES[key]] if "to" in cell]


def test_request_by_ids_shows_membership_and_no_forgotten_class(render, metrics):
    metrics["forget"]["by"] = "ids"
    for which, auc in (("base", 0.7), ("erased", 0.55)):
        metrics[which] |= dict.fromkeys(key for key in NAMES if key.startswith("forget"))
        metrics[which]["forget_accuracy_by_class"] = None
        metrics[which]["forget_membership_auc"] = auc
    page = render()
    figures = figures_in(page)
    assert figures["membership AUC"] == ("0.7000", "0.5500")
    assert not [name for name in figures if name.startswith("forget") or "of class" in name]
    assert "142 images of class 0, 3" in page
    assert "an AUC of 0.70 before and 0.55 after" in " ".join(page.split())


def test_counts_cost_and_request_are_told(render):
    page = render()
    for text in ("class 0, 3 (142 images)", "201 samples", "902 under retained conditions", "1293 real"):
        assert text in page
    for text in ("40 steps", "15,360 denoiser evaluations", "12.3 s", "2.00 GiB", "abcdef012345"):
        assert text in page


def test_a_sentence_says_it_without_terms(render, metrics):
    words = " ".join(re.sub(r"<[^>]+>", "", render()).split())
    assert "forget class 0, 3 (142 images)" in words
    assert "earlier" not in words
    before, after = (metrics[which] for which in ("base", "erased"))
    for key, text in (
        ("forget_accuracy", "the base model draws it in {} of the samples"),
        ("retain_accuracy", "Of the retained classes, {} of the samples are right"),
    ):
        assert text.format(f"{100 * before[key]:.1f} %") in words
    assert f"the erased model in {100 * after['forget_accuracy']:.1f} %" in words
    assert "AUC" not in words.split("Method")[0]


def test_a_sentence_says_what_earlier_requests_do_to_it(render, metrics):
    metrics["forget"] |= {"classes": [3], "earlier": [answered(0).to_json()]}
    words = " ".join(render().split())
    assert "Asked for a forgotten class," in words
    assert "Classes of earlier requests are included." in words


def test_provenance_and_parameters_are_told(render):
    page = render()
    rows = {row[0]: row[1] for row in Reader(page).rows if len(row) == 2}
    assert rows["git commit"] == "0123abcd"
    assert rows["packages"] == "torch 2.14.1, kedro 1.7.0"
    assert "&#34;eta&#34;: 1.25" in page
    assert "parameters" not in rows


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


def test_page_fetches_nothing_and_its_pictures_are_png(render):
    page = render()
    pictures = Reader(page).fetched
    assert len(pictures) == 2
    assert all(base64.b64decode(value.split(",")[1]).startswith(b"\x89PNG") for value in pictures)
    assert_self_contained(page)


def test_the_page_opens_with_the_verdict_and_the_picture(render):
    page = render()
    assert page.index('id="verdict"') < page.index("<img") < page.index("<table")


def test_what_was_not_checked_is_said_as_it_is(evidence):
    found = evidence()
    found["not_checked"] = ["fid: not audited yet: kedro run --env=tiny_text_to_image --pipeline=audit"]
    page = render_report(found, Figure(figsize=(1, 1)), Figure(figsize=(1, 1)), {})
    assert f"<li>{found['not_checked'][0]}</li>" in page


def test_an_audit_without_inversion_ends_no_sentence_halfway(evidence):
    models = {name: FOUND | {"inversion": {}} for name in ("base", "erased")}
    audit = {"samples": 100, "not_checked": [], "models": models}
    page = render_report(evidence(audit), *(Figure(figsize=(1, 1)) for _ in range(2)), {})
    assert "still hold:" not in page
    assert "No audit can prove that nothing is left." in page
