"""The report of an audited model, in a real browser."""

import pytest

from erasediff_pipeline.config.metrics import METRICS
from tests.helpers.project import ROOT, read_json


@pytest.fixture(scope="module")
def place(audited):
    return audited[0] / "data/08_reporting/audit/erasediff"


@pytest.fixture(scope="module")
def evidence(place):
    return read_json(place / "evidence.json")


@pytest.fixture(scope="module")
def opened(browser, place):
    """The page, what it asked for, and what it complained of; a picture is kept."""
    page = browser.new_page(viewport={"width": 900, "height": 1200})
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((place / "report.html").as_uri())
    folder = ROOT / "artifacts/report"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / "report.png", full_page=True)
    yield page, requests, complaints
    page.close()


def rows(page, table):
    """The cells of each row of figures."""
    return [row.locator("td").all_inner_texts() for row in page.locator(f"#{table} tr").all()[1:]]


def interval(found):
    """Nothing where none is known."""
    return f"{found['low']:.4f} to {found['high']:.4f}" if found and found["low"] != found["high"] else ""


def test_nothing_leaves_the_page_and_nothing_goes_wrong(opened, place):
    _, requests, complaints = opened
    assert [url for url in requests if not url.startswith("data:")] == [(place / "report.html").as_uri()]
    assert complaints == []


def test_every_metric_is_that_of_the_json(opened, evidence):
    retained = ["retain_accuracy", "fid", "precision", "recall", "kid", "inception_score"]
    drawn = [f"forgotten_{name}" for name in ("other_class", "none", "fid", "precision")]
    keys = ["forget_accuracy", "forget_probability", "forget_entropy", *drawn, *retained]
    keys += [f"unguided_{name}" for name in retained]
    for key, row in zip(keys, rows(opened[0], "metrics"), strict=True):
        for cell, which in zip(row[1:3], ("base", "erased"), strict=True):
            figure, found = METRICS[key].read(evidence["metrics"][which]), evidence["figures"][which].get(key)
            assert cell == f"{figure:.4f}\n{interval(found)}".strip()


def test_every_gate_is_that_of_the_json(opened, evidence):
    checked = [gate for gate in evidence["gates"] if gate["status"] in ("held", "failed", "undecided")]
    assert len(checked) == 12
    for row, gate in zip(rows(opened[0], "gates"), checked, strict=True):
        named, status = METRICS[gate["figure"]].label, ": ".join(filter(None, (gate["status"], gate["why"])))
        assert row == [named, gate["limit"], f"{gate['value']:.4f}", interval(gate), status]
    assert opened[0].locator("#not-checked li").count() == len(evidence["not_checked"])


AUDITS = {
    "inversion accuracy, class 0": ("inversion", "0", "best"),
    "relearning area, forgotten images": ("relearning", "forgotten", "area", "value"),
    "relearning area, retained images": ("relearning", "retained", "area", "value"),
    "inversion accuracy, twice the steps, class 0": ("inversion", "0", "doubled"),
    "inversion accuracy, random starts, class 0": ("inversion", "0", "best_from_random"),
    "membership AUC": ("membership", "auc"),
    "membership TPR at 1 % FPR": ("membership", "true_positive_rate"),
    "leakage, no condition": ("leakage", "unconditional"),
    "leakage, retained classes": ("leakage", "retained"),
    "leakage, worst retained class": ("leakage", "worst"),
    "retain accuracy, worst class": ("damage", "worst"),
}
"""Rows of the table, and where their figures stand in ``evidence.json``."""


def test_every_audit_is_that_of_the_json(opened, evidence):
    shown = {row[0]: row[1:] for row in rows(opened[0], "audits")}
    audits = evidence["audits"].values()
    for name, path in AUDITS.items():
        for cell, found in zip(shown.pop(name), audits, strict=True):
            for key in path:
                found = found[key]
            assert f"{found:.4f}" in cell
    membership = [audit["membership"] for audit in audits]
    assert shown.pop("membership AUC, interval") == [
        f"{each['low']:.3f}–{each['high']:.3f}" for each in membership
    ]
    for taught in ("forgotten", "retained"):
        steps = [audit["relearning"][taught]["steps_to_half"] for audit in audits]
        cells = shown.pop(f"relearning steps to half accuracy, {taught} images")
        assert cells == ["> 16" if step is None else str(step) for step in steps]
    assert shown == {}
    remarks = opened[0].locator("#remarks li").all_inner_texts()
    assert remarks == [f"{line}." for line in evidence["remarks"]]


def test_what_each_class_lost_is_that_of_the_json(opened, evidence):
    base, erased = (evidence["audits"][which]["damage"]["by_class"] for which in ("base", "erased"))
    shown = rows(opened[0], "damage")
    assert [row[0] for row in shown] == list(erased)
    for label, *cells in shown:
        keys = ("retain_accuracy", "fid", "precision", "recall")
        assert cells == [f"{base[label][key]:.4f} → {erased[label][key]:.4f}" for key in keys]


def test_pictures_are_drawn_and_told_in_words(opened):
    images = opened[0].locator("img")
    assert images.count() == 3
    for image in images.all():
        assert image.evaluate("image => image.complete && image.naturalWidth") > 300
        assert len(image.get_attribute("alt")) > 40


def test_it_fits_a_phone(browser, place):
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto((place / "report.html").as_uri())
    page.screenshot(path=ROOT / "artifacts/report/phone.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()
