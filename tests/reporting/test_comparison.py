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
from erasediff_pipeline.experiments.comparison import COSTS, compared_metrics, summarise
from erasediff_pipeline.experiments.distance import COUNTS, QUESTIONS
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


def summary_of(seeds=1, only=tuple(POINTS), retrained=1, **changes):
    """Each later seed is 0.01 and 0.1 off; the base model costs nothing; ``changes`` are those of columns.

    FID without guidance is half of that with guidance.
    """
    same = dict.fromkeys(compared_metrics() + COSTS) | dict.fromkeys(COUNTS, 100)
    same |= {"forget_entropy": 1.0, "forget_probability": 0.5, "retain_accuracy": 0.75}
    same |= {"precision": 0.5, "recall": 0.25, "unguided_retain_accuracy": 0.7}
    same |= {"unguided_precision": 0.5, "unguided_recall": 0.25, "unguided_inception_score": 5.0}
    same["unguided_kid"] = 0.1
    costs = {"wall_seconds": 1234.4, "denoiser_evaluations": 56789, "peak_memory_bytes": 3 * 2**29}
    rows = []
    wanted = [(m, seed) for m in only for seed in range(max(seeds, retrained) if m == "retrain" else seeds)]
    for method, seed in wanted:
        row = same if method == "base" else same | costs
        accuracy, fid = POINTS[method]
        fid += 0.1 * seed
        found = {"forget_accuracy": accuracy + 0.01 * seed, "fid": fid, "unguided_fid": fid / 2}
        rows.append({"method": method, "seed": seed, **row, **found})
    return summarise(pd.DataFrame(rows).assign(**changes), 0.95)


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
    assert columns[:2] == ["seeds", "forget accuracy"]
    assert "membership AUC" not in columns
    assert len(columns) == 1 + len(compared_metrics()) - 1 + 3
    for method, (accuracy, fid) in POINTS.items():
        row = dict(zip(columns, table[method], strict=True))
        assert row["forget accuracy"] == f"{accuracy:.3f}"
        assert (row["FID, retained"], row["FID, no guidance"]) == (f"{fid:.3f}", f"{fid / 2:.3f}")
        costs = [row[name] for name in ("seconds", "denoiser evaluations", "peak GiB")]
        assert costs == (["–"] * 3 if method == "base" else ["1,234", "56,789", "1.50"])


def test_request_by_ids_shows_the_membership():
    gone = dict.fromkeys(("forget_accuracy", "forget_probability", "forget_entropy"))
    asked = request(by="ids", classes=[0, 3], forget_images=20)
    page = render(summary_of(**gone, forget_membership_auc=0.625), asked)
    columns = table_of(page, "metrics")["method"]
    assert columns[1] == "membership AUC"
    assert not [name for name in columns if name.startswith("forget")]
    assert "forget 20 images of class 0, 3" in page


def test_distances_are_those_to_the_retrained_models_which_are_marked():
    """They leave 0.01, 0.02 and 0.03: less apart than the error of 100 samples, 0.016."""
    page = render(summary_of(retrained=3))
    table = table_of(page, "distances")
    assert set(table) == {"method", *POINTS}
    assert table["method"][0] == "forgotten: forget accuracy"
    assert len(table["method"]) == len(QUESTIONS)  # one of them is of requests by ids
    error = 0.0164
    far = 0.88 / error
    assert [float(cell) for cell in table["finetune"]] == pytest.approx([far, 0, 0, 0, far / 2], abs=0.3)
    tables = re.findall(r'<table id="(?:metrics|distances)">.*?</table>', page, re.DOTALL)
    assert [re.findall(r'<tr class="gold"><td>(.*?)</td>', text) for text in tables] == [["retrain"]] * 2


def test_the_page_fetches_nothing_and_opens_with_what_is_as_near_as_a_retrained_model_and_the_plot():
    """One of these is 0.2 from the others, and so is nothing but EraseDiff, in the middle of the three."""
    page = render(summary_of(retrained=3))
    assert_page(page, pictures=2)
    words = "retrained models than these from each other: erasediff</b> (distance at most 0.3)"
    assert words in page
    assert page.index(words) < page.index("<img") < page.index("<table")
    assert "each other: none</b>" in render(summary_of(retrained=3, only=("base", "esd", "retrain")))


@pytest.mark.parametrize(
    ("only", "reason"),
    [
        (("base", "erasediff"), "compare.methods does not include retrain"),
        (("base", "erasediff", "retrain"), "it needs 3 retrained models, here 1"),
    ],
)
def test_without_three_retrained_models_no_distance_is_claimed(only, reason):
    page = render(summary_of(only=only))
    assert '<table id="distances">' not in page
    assert "No farther" not in page
    assert f"Not measured: {reason}" in page


def test_intervals_stand_beside_the_means_of_several_seeds_but_of_one_seed_there_is_none():
    page = render(seeds=2)
    assert "Means over the seeds" in page
    assert "95 %" in page
    width = 12.706205 * 0.01 / math.sqrt(2) / math.sqrt(2)
    assert table_of(page, "metrics")["finetune"][:2] == ["2", f"0.905 ± {width:.3f}"]
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


def points_of(summary, panel=0, **options):
    """``{label: the drawn point}``, with its error bars: without guidance, or with it in the panel 1."""
    drawn = draw_trade_off(summary, **options).axes[panel].containers
    return {each.get_label(): each for each in drawn if isinstance(each, ErrorbarContainer)}


def place(container):
    (x,), (y,) = container.lines[0].get_data()
    return x, y


def test_each_method_is_a_point_where_it_belongs_and_looks_like_what_it_is():
    """The base and the retrained model look unlike the methods."""
    summary = summary_of()
    drawn = points_of(summary)
    assert {name: place(point) for name, point in drawn.items()} == {
        m: (x, y / 2) for m, (x, y) in POINTS.items()
    }
    assert {name: place(point) for name, point in points_of(summary, panel=1).items()} == POINTS
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
    assert np.transpose(front.get_data()).tolist() == [[x, fid / 2] for x, fid in best]
    assert set(points_of(summary_of(only=("base", "retrain")))) == {"base", "retrain"}


def test_trade_off_of_a_request_by_ids_is_over_the_membership():
    summary = summary_of(forget_accuracy=None, forget_membership_auc=[0.9, 0.6, 0.5, 0.55, 0.8, 0.52])
    point = points_of(summary, by_ids=True)["finetune"]
    assert "membership AUC" in point.lines[0].axes.get_xlabel()
    assert place(point) == pytest.approx((0.8, 1.25 / 2))


def test_intervals_are_error_bars():
    summary = summary_of(seeds=2)
    horizontal, vertical = points_of(summary)["esd"].lines[2]
    (left, right), (low, high) = horizontal.get_segments()[0][:, 0], vertical.get_segments()[0][:, 1]
    row = summary.set_index("method").loc["esd"]
    assert (right - left) / 2 == pytest.approx(row["forget_accuracy_interval"])
    assert (high - low) / 2 == pytest.approx(row["unguided_fid_interval"])


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
    summary = summary_of(retrained=3).sort_values("distance", kind="stable")
    text = text_of(build_comparison(summary, REQUEST, "the/report.html", {0: "bag"}))
    assert "compare: class 0 bag (142 images) forgotten" in text
    assert "report: the/report.html" in text
    rows = [line.replace("│", " ").split() for line in text.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == ["erasediff", "retrain", "neggrad", "esd", "finetune", "base"]
    assert rows[0][1:] == ["0.0200", "0.7500", "0.7000", "2.00", "1.00", "1234.4", "0.0"]
    assert "distance: to the retrained models, by their spread" in text
    text = text_of(build_comparison(summary_of(), REQUEST, "the/report.html"))
    assert "no distance: it needs 3 retrained models, here 1: --params=compare.retrained_seeds=3" in text


def test_there_is_a_colour_for_any_number_of_methods():
    once = summary_of()
    renamed = [once.assign(method=once["method"] + mark) for mark in "abc"]
    many = pd.concat([once, *renamed], ignore_index=True)
    assert len(draw_trade_off(many).axes[0].containers) == len(many) > 20
