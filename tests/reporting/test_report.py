import base64
import re
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from erasediff_pipeline.reporting.report import render_report

NAMES = {
    "forget_accuracy": "forget accuracy",
    "forget_probability": "forget probability",
    "forget_entropy": "forget entropy",
    "forget_membership_auc": "membership AUC",
    "retain_accuracy": "retain accuracy",
    "fid": "FID, retained",
    "precision": "precision, retained",
    "recall": "recall, retained",
}


@pytest.fixture
def render(metrics, run):
    return lambda: render_report(metrics, run, Figure(figsize=(1, 1)), Figure(figsize=(1, 1)))


class Reader(HTMLParser):
    """The cells of every table row, and every attribute that a browser could fetch."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.fetched, self.tags, self.cell = [], [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [v for k, v in attributes if k in ("src", "href", "srcset", "action", "data")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = False

    def handle_data(self, data):
        if self.cell:
            self.rows[-1][-1] += data


def figures_in(page):
    """``{name: (before, after)}``."""
    return {row[0]: tuple(row[1:3]) for row in Reader(page).rows if len(row) == 4 and row[0]}


def test_every_figure_is_that_of_the_metrics(render, metrics):
    shown = {key: name for key, name in NAMES.items() if metrics["base"][key] is not None}
    assert len(shown) == 7
    assert figures_in(render()) == {
        name: (f"{metrics['base'][key]:.4f}", f"{metrics['erased'][key]:.4f}") for key, name in shown.items()
    }


def test_request_by_ids_shows_membership_and_no_forgotten_class(render, metrics):
    metrics["forget"]["by"] = "ids"
    for which, auc in (("base", 0.7), ("erased", 0.55)):
        metrics[which] |= dict.fromkeys(("forget_accuracy", "forget_probability", "forget_entropy"))
        metrics[which]["forget_membership_auc"] = auc
    page = render()
    figures = figures_in(page)
    assert figures["membership AUC"] == ("0.7000", "0.5500")
    assert not [name for name in figures if name.startswith("forget")]
    assert "142 images of class 0, 3" in page


def test_counts_cost_and_request_are_told(render):
    page = render()
    for text in ("class 0, 3 (142 images)", "201 samples", "902 under retained", "1293 real"):
        assert text in page
    for text in ("40 steps", "15,360 denoiser evaluations", "12.3 s", "2.00 GiB", "abcdef012345"):
        assert text in page


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
    page = render()
    assert "script" not in Reader(page).tags
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 6


def test_page_fetches_nothing(render):
    page = render()
    reader = Reader(page)
    assert len(reader.fetched) == 2
    assert all(value.startswith("data:image/png;base64,") for value in reader.fetched)
    assert not {"script", "link", "iframe", "object", "base"} & set(reader.tags)
    assert not re.search(r"url\(|@import|https?://", page)


def test_pictures_are_png(render):
    for value in Reader(render()).fetched:
        assert base64.b64decode(value.split(",")[1]).startswith(b"\x89PNG")
