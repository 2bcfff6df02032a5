import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from erasediff_pipeline.config import CompareSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.experiments.comparison import COSTS, add_distances, compared_metrics, summarise
from erasediff_pipeline.reporting.comparison import (
    draw_grids,
    draw_trade_off,
    render_comparison,
    with_interval,
)
from erasediff_pipeline.reporting.figures import tile
from erasediff_pipeline.reporting.summary import NO_NAMES, build_comparison
from tests.helpers.page import Reader
from tests.helpers.requests import request
from tests.reporting.conftest import assert_page, framed_rows, text_of

POINTS = {  # forget accuracy, FID
    "base": (0.98, 1.5),
    "erasediff": (0.02, 2.0),
    "neggrad": (0.00, 9.0),
    "esd": (0.10, 3.0),  # beaten by erasediff
    "finetune": (0.90, 1.25),
    "retrain": (0.01, 1.75),
}
REQUEST = request()
PROVENANCE = {"git_commit": "0123abcd", "packages": {"torch": "2", "kedro": "1"}, "parameters": {"a": 1}}
EVIL = "<script>alert(1)</script>"


def summary_of(seeds=1, only=tuple(POINTS), **changes):
    """Each later seed is 0.01 and 0.1 off; the base model costs nothing; ``changes`` are those of columns."""
    same = dict.fromkeys(compared_metrics() + COSTS)
    same |= {"forget_entropy": 1.0, "forget_probability": 0.5, "retain_accuracy": 0.75}
    same |= {"precision": 0.5, "recall": 0.25}
    costs = {"wall_seconds": 1234.4, "denoiser_evaluations": 56789, "peak_memory_bytes": 3 * 2**29}
    rows = []
    for method, seed in itertools.product(only, range(seeds)):
        row = same if method == "base" else same | costs
        accuracy, fid = POINTS[method]
        found = {"forget_accuracy": accuracy + 0.01 * seed, "fid": fid + 0.1 * seed}
        rows.append({"method": method, "seed": seed, **row, **found})
    return add_distances(summarise(pd.DataFrame(rows).assign(**changes), 0.95), classes=10)


def render(summary=None, asked=REQUEST, provenance=PROVENANCE, seeds=1, names=NO_NAMES):
    """The page."""
    summary = summary_of(seeds) if summary is None else summary
    pictures = Figure(figsize=(1, 1)), Figure(figsize=(1, 1))
    return render_comparison(summary, asked, *pictures, CompareSettings(seeds=seeds), provenance, names)


def table_of(page, name):
    """``{first cell: the other cells}``."""
    (text,) = re.findall(rf'<table id="{name}">.*?</table>', page, re.DOTALL)
    return {row[0]: row[1:] for row in Reader(text).rows}


def test_every_method_has_its_figures():
    """What no method was measured for has no column."""
    table = table_of(render(), "metrics")
    assert list(table) == ["method", *POINTS]
    columns = table["method"]
    assert columns[0] == "forget accuracy"
    assert "membership AUC" not in columns
    assert len(columns) == len(compared_metrics()) - 1 + 3
    for method, (accuracy, fid) in POINTS.items():
        row = dict(zip(columns, table[method], strict=True))
        assert row["forget accuracy"] == f"{accuracy:.3f}"
        assert row["FID, retained"] == f"{fid:.3f}"
        costs = [row[name] for name in ("seconds", "denoiser evaluations", "peak GiB")]
        assert costs == (["–"] * 3 if method == "base" else ["1,234", "56,789", "1.50"])


def test_request_by_ids_shows_the_membership():
    gone = dict.fromkeys(("forget_accuracy", "forget_probability", "forget_entropy"))
    asked = request(by="ids", classes=[0, 3], forget_images=20)
    page = render(summary_of(**gone, forget_membership_auc=0.625), asked)
    columns = table_of(page, "metrics")["method"]
    assert columns[0] == "membership AUC"
    assert not [name for name in columns if name.startswith("forget")]
    assert "forget 20 images of class 0, 3" in page


def test_distances_are_those_to_the_retrained_model_which_is_marked():
    page = render()
    table = table_of(page, "distances")
    assert list(table) == ["method", *POINTS]
    row = dict(zip(table["method"], table["neggrad"], strict=True))
    fid = (9 - 1.75) / 1.75
    assert row["forget accuracy"] == "0.010"
    assert row["FID, retained"] == f"{fid:.3f}"
    assert row["mean"] == f"{(0.01 + fid) / 7:.3f}"
    assert set(table["retrain"]) == {"0.000"}
    tables = re.findall(r'<table id="(?:metrics|distances)">.*?</table>', page, re.DOTALL)
    assert [re.findall(r'<tr class="gold"><td>(.*?)</td>', text) for text in tables] == [["retrain"]] * 2


def test_the_page_fetches_nothing_and_opens_with_the_nearest_method_and_the_plot():
    page = render()
    assert_page(page, pictures=2)
    assert "Nearest to the retrained model: erasediff</b> (distance 0.022)" in page
    assert page.index("Nearest") < page.index("<img") < page.index("<table")
    for only in (("base", "retrain"), ("base", "esd")):
        assert "Nearest" not in render(summary_of(only=only))


def test_without_a_retrained_model_no_distance_is_claimed():
    page = render(summary_of(only=("base", "erasediff")))
    assert '<table id="distances">' not in page
    assert 'class="gold"' not in page
    assert "Not measured: the comparison does not include <code>retrain</code>" in page


def test_intervals_stand_beside_the_means_of_several_seeds_but_of_one_seed_there_is_none():
    page = render(seeds=2)
    assert "Means over 2 seeds" in page
    assert "95 %" in page
    width = 12.706205 * 0.01 / math.sqrt(2) / math.sqrt(2)
    assert table_of(page, "metrics")["finetune"][0] == f"0.905 ± {width:.3f}"
    page = render()
    assert "One seed: no intervals" in page
    assert "±" not in "".join("".join(row) for row in Reader(page).rows)


def test_values_are_escaped():
    provenance = {"git_commit": EVIL, "packages": {EVIL: EVIL}, f"key {EVIL}": 1, "parameters": {EVIL: EVIL}}
    summary = summary_of(method=[EVIL if name == "esd" else name for name in POINTS])
    asked = request(by="prompts", prompts=[EVIL])
    page = render(summary, asked, provenance, names={0: f"name {EVIL}"})
    assert "script" not in Reader(page).tags
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 10


def test_provenance_and_settings_are_told():
    page = render()
    rows = {row[0]: row[1] for row in Reader(page).rows if len(row) == 2}
    assert rows["git commit"] == "0123abcd"
    assert rows["packages"] == "torch 2, kedro 1"
    assert "parameters" not in rows
    assert re.search(r"<pre>\{\s+&#34;a&#34;: 1\s+\}</pre>", page)


@pytest.mark.parametrize(
    ("mean", "half_width", "options", "text"),
    [
        (0.12345, 0.0046, {}, "0.123 ± 0.005"),
        (0.5, None, {}, "0.500"),
        (0.5, math.nan, {}, "0.500"),
        (math.nan, math.nan, {}, "–"),
        (None, None, {}, "–"),
        (1234567.8, 1000.2, {"digits": 0}, "1,234,568 ± 1,000"),
    ],
)
def test_number_with_its_interval(mean, half_width, options, text):
    assert with_interval(mean, half_width, **options) == text


def points_of(summary, **options):
    """``{label: the drawn point}``, with its error bars."""
    drawn = draw_trade_off(summary, **options).axes[0].containers
    return {each.get_label(): each for each in drawn if isinstance(each, ErrorbarContainer)}


def place(container):
    (x,), (y,) = container.lines[0].get_data()
    return x, y


def test_each_method_is_a_point_where_it_belongs_and_looks_like_what_it_is():
    """The base and the retrained model look unlike the methods."""
    drawn = points_of(summary_of())
    assert {name: place(point) for name, point in drawn.items()} == POINTS
    markers = {name: point.lines[0].get_marker() for name, point in drawn.items()}
    assert markers.pop("retrain") == "*"
    assert markers.pop("base") == "s"
    assert set(markers.values()) == {"o"}
    colours = [to_hex(point.lines[0].get_color()) for point in drawn.values()]
    assert len(set(colours)) == len(POINTS)


def test_front_joins_the_methods_that_no_other_beats():
    """Neither the base model nor the retrained one is a method to choose; no other need be there."""
    (front,) = [x for x in draw_trade_off(summary_of()).axes[0].lines if x.get_label() == "Pareto front"]
    best = [POINTS[name] for name in ("neggrad", "erasediff", "finetune")]
    assert np.transpose(front.get_data()).tolist() == [list(point) for point in best]
    assert set(points_of(summary_of(only=("base", "retrain")))) == {"base", "retrain"}


def test_trade_off_of_a_request_by_ids_is_over_the_membership():
    summary = summary_of(forget_accuracy=None, forget_membership_auc=[0.9, 0.6, 0.5, 0.55, 0.8, 0.52])
    point = points_of(summary, by_ids=True)["finetune"]
    assert "membership AUC" in point.lines[0].axes.get_xlabel()
    assert place(point) == pytest.approx((0.8, 1.25))


def test_intervals_are_error_bars():
    summary = summary_of(seeds=2)
    horizontal, vertical = points_of(summary)["esd"].lines[2]
    (left, right), (low, high) = horizontal.get_segments()[0][:, 0], vertical.get_segments()[0][:, 1]
    row = summary.set_index("method").loc["esd"]
    assert (right - left) / 2 == pytest.approx(row["forget_accuracy_interval"])
    assert (high - low) / 2 == pytest.approx(row["fid_interval"])


@pytest.mark.parametrize("forgotten", [[], [1], [0, 2]])
def test_grids_show_the_samples_of_each_method_and_frame_forgotten_rows(toy_images, forgotten):
    other = LabelledImages(255 - toy_images.images, toy_images.labels)
    samples = {"base": toy_images, "esd": other, "retrain": toy_images}
    axes = draw_grids(samples, forgotten, columns=4).axes
    assert [each.get_title() for each in axes] == list(samples)
    for each, drawn in zip(axes, samples.values(), strict=True):
        assert (each.images[0].get_array() == tile(drawn, 4)).all()
        assert framed_rows(each) == forgotten


@pytest.mark.parametrize("number", [1, 6, 7, 10])
def test_grids_stand_five_in_a_line_each_line_named_at_its_left(toy_images, number):
    axes = draw_grids({f"method {n}": toy_images for n in range(number)}, [0], columns=2).axes
    grids, empty = axes[:number], axes[number:]
    assert [each.get_title() for each in grids] == [f"method {n}" for n in range(number)]
    assert len({round(each.get_position().y0, 3) for each in grids}) == -(-number // 5)
    names = [str(label) for label in toy_images.classes]
    for place, each in enumerate(grids):
        shown = [label.get_text() for label in each.get_yticklabels()]
        assert shown == (names if place % 5 == 0 else [""] * len(names))
        assert not any(spine.get_visible() for spine in each.spines.values())
    assert not any(each.images or each.axison for each in empty)


def test_rows_and_request_have_the_names_of_their_source(toy_images):
    axes = draw_grids({"base": toy_images}, [1], 2, names={1: "bag"}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1 bag", "2"]
    assert "forget class 0 shirt (142 images)" in render(names={0: "shirt"})


def test_the_terminal_lists_the_methods_in_the_order_of_the_summary():
    summary = summary_of().sort_values("distance")
    text = text_of(build_comparison(summary, REQUEST, "the/report.html", {0: "bag"}))
    assert "compare: class 0 bag (142 images) forgotten" in text
    assert "report: the/report.html" in text
    rows = [line.replace("│", " ").split() for line in text.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == ["retrain", "erasediff", "esd", "base", "finetune", "neggrad"]
    assert rows[0][1:] == ["0.0100", "0.7500", "1.75", "1234.4", "0.000"]


def test_there_is_a_colour_for_any_number_of_methods():
    once = summary_of()
    renamed = [once.assign(method=once["method"] + mark) for mark in "abc"]
    many = pd.concat([once, *renamed], ignore_index=True)
    assert len(draw_trade_off(many).axes[0].containers) == len(many) > 20
