import base64
import math
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color, to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.console import Console

from erasediff_pipeline.config import CompareSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.experiments.comparison import COSTS, add_distances, compared_metrics, summarise
from erasediff_pipeline.reporting.comparison import (
    draw_grids,
    draw_trade_off,
    render_comparison,
    with_interval,
)
from erasediff_pipeline.reporting.figures import FORGOTTEN, tile
from erasediff_pipeline.reporting.summary import NO_NAMES, build_comparison
from tests.helpers.page import Reader, assert_self_contained
from tests.helpers.requests import request

POINTS = {  # forget accuracy, FID
    "base": (0.98, 1.5),
    "erasediff": (0.02, 2.0),
    "neggrad": (0.00, 9.0),
    "esd": (0.10, 3.0),  # beaten by erasediff
    "finetune": (0.90, 1.25),
    "retrain": (0.01, 1.75),
}
REQUEST = request()
EVIL = "<script>alert(1)</script>"


def trials(seeds=1, only=tuple(POINTS)):
    """Each later seed is 0.01 and 0.1 off."""
    rows = []
    for method in only:
        accuracy, fid = POINTS[method]
        for seed in range(seeds):
            row = {"method": method, "seed": seed, **dict.fromkeys(compared_metrics() + COSTS)}
            row |= {"forget_accuracy": accuracy + 0.01 * seed, "fid": fid + 0.1 * seed}
            row |= {"forget_entropy": 1.0, "forget_probability": 0.5, "retain_accuracy": 0.75}
            row |= {"precision": 0.5, "recall": 0.25}
            if method != "base":
                row |= {"wall_seconds": 1234.4, "denoiser_evaluations": 56789, "peak_memory_bytes": 3 * 2**29}
            rows.append(row)
    return pd.DataFrame(rows)


def summary_of(seeds=1, only=tuple(POINTS)):
    return add_distances(summarise(trials(seeds, only), 0.95), classes=10)


@pytest.fixture
def render():
    """``render(seeds=…, only=…, …)``: the page."""

    def make(asked=REQUEST, provenance=None, **options):
        summary = options.get("summary")
        if summary is None:
            summary = summary_of(options.get("seeds", 1), options.get("only", tuple(POINTS)))
        compare = CompareSettings(seeds=options.get("seeds", 1))
        pictures = Figure(figsize=(1, 1)), Figure(figsize=(1, 1))
        provenance = {"python": "3.12", "parameters": {}} if provenance is None else provenance
        names = options.get("names", NO_NAMES)
        return render_comparison(summary, asked, *pictures, compare, provenance, names)

    return make


def table_of(page, name):
    """``{first cell: the other cells}``."""
    (text,) = re.findall(rf'<table id="{name}">.*?</table>', page, re.DOTALL)
    return {row[0]: row[1:] for row in Reader(text).rows}


def test_page_fetches_nothing_and_its_pictures_are_png(render):
    page = render()
    pictures = Reader(page).fetched
    assert len(pictures) == 2
    assert all(base64.b64decode(value.split(",")[1]).startswith(b"\x89PNG") for value in pictures)
    assert_self_contained(page)


def test_every_method_has_its_figures(render):
    table = table_of(render(), "metrics")
    assert list(table) == ["method", *POINTS]
    columns = table["method"]
    assert columns[0] == "forget accuracy"
    for method, (accuracy, fid) in POINTS.items():
        row = dict(zip(columns, table[method], strict=True))
        assert row["forget accuracy"] == f"{accuracy:.3f}"
        assert row["FID, retained"] == f"{fid:.3f}"
        costs = [row[name] for name in ("seconds", "denoiser evaluations", "peak GiB")]
        assert costs == (["–"] * 3 if method == "base" else ["1,234", "56,789", "1.50"])


def test_what_no_method_was_measured_for_has_no_column(render):
    columns = table_of(render(), "metrics")["method"]
    assert "membership AUC" not in columns
    assert len(columns) == len(compared_metrics()) - 1 + 3


def test_request_by_ids_shows_the_membership(render):
    rows = trials().assign(
        forget_accuracy=None, forget_probability=None, forget_entropy=None, forget_membership_auc=0.625
    )
    page = render(
        request(by="ids", classes=[0, 3], forget_images=20),
        summary=add_distances(summarise(rows, 0.95), classes=10),
    )
    columns = table_of(page, "metrics")["method"]
    assert columns[0] == "membership AUC"
    assert not [name for name in columns if name.startswith("forget")]
    assert "forget 20 images of class 0, 3" in page


def test_distances_are_those_to_the_retrained_model(render):
    table = table_of(render(), "distances")
    assert list(table) == ["method", *POINTS]
    row = dict(zip(table["method"], table["neggrad"], strict=True))
    fid = (9 - 1.75) / 1.75
    assert row["forget accuracy"] == "0.010"
    assert row["FID, retained"] == f"{fid:.3f}"
    assert row["mean"] == f"{(0.01 + fid) / 7:.3f}"
    assert set(table["retrain"]) == {"0.000"}


@pytest.mark.parametrize("name", ["metrics", "distances"])
def test_the_retrained_model_is_marked(render, name):
    (text,) = re.findall(rf'<table id="{name}">.*?</table>', render(), re.DOTALL)
    assert re.findall(r'<tr class="gold"><td>(.*?)</td>', text) == ["retrain"]


def test_the_page_opens_with_the_nearest_method_and_the_plot(render):
    page = render()
    assert "Nearest to the retrained model: erasediff</b> (distance 0.022)" in page
    assert page.index("Nearest") < page.index("<img") < page.index("<table")
    assert "Nearest" not in render(only=("base", "retrain")) + render(only=("base", "esd"))


def test_without_a_retrained_model_no_distance_is_claimed(render):
    page = render(only=("base", "erasediff"))
    assert '<table id="distances">' not in page
    assert 'class="gold"' not in page
    assert "Not measured: the comparison does not include <code>retrain</code>" in page


def test_intervals_stand_beside_the_means_of_several_seeds(render):
    page = render(seeds=2)
    assert "Means over 2 seeds" in page
    assert "95 %" in page
    width = 12.706205 * 0.01 / math.sqrt(2) / math.sqrt(2)
    assert table_of(page, "metrics")["finetune"][0] == f"0.905 ± {width:.3f}"


def test_one_seed_claims_no_interval(render):
    page = render()
    assert "One seed: no intervals" in page
    assert "±" not in "".join("".join(row) for row in Reader(page).rows)


def test_values_are_escaped(render):
    rows = trials().replace({"method": {"esd": EVIL}})
    page = render(
        request(by="prompts", prompts=[EVIL]),
        {"git_commit": EVIL, "packages": {EVIL: EVIL}, f"key {EVIL}": 1, "parameters": {EVIL: EVIL}},
        summary=add_distances(summarise(rows, 0.95), classes=10),
        names={0: f"name {EVIL}"},
    )
    assert "script" not in Reader(page).tags
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 10


def test_provenance_and_settings_are_told(render):
    provenance = {"git_commit": "0123abcd", "packages": {"torch": "2", "kedro": "1"}, "parameters": {"a": 1}}
    page = render(provenance=provenance)
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


def points_of(figure):
    """``{label: the drawn point}``, and the error bars by label."""
    drawn = [c for c in figure.axes[0].containers if isinstance(c, ErrorbarContainer)]
    return {c.get_label(): c for c in drawn}


def place(container):
    (x,), (y,) = container.lines[0].get_data()
    return x, y


def test_each_method_is_a_point_where_it_belongs():
    drawn = points_of(draw_trade_off(summary_of()))
    assert {name: place(point) for name, point in drawn.items()} == POINTS


def test_base_and_retrained_model_look_unlike_the_methods():
    drawn = points_of(draw_trade_off(summary_of()))
    markers = {name: point.lines[0].get_marker() for name, point in drawn.items()}
    assert markers.pop("retrain") == "*"
    assert markers.pop("base") == "s"
    assert set(markers.values()) == {"o"}
    colours = [to_hex(point.lines[0].get_color()) for point in drawn.values()]
    assert len(set(colours)) == len(POINTS)


def test_front_joins_the_methods_that_no_other_beats():
    """Neither the base model nor the retrained one is a method to choose."""
    (front,) = [x for x in draw_trade_off(summary_of()).axes[0].lines if x.get_label() == "Pareto front"]
    best = [POINTS[name] for name in ("neggrad", "erasediff", "finetune")]
    assert np.transpose(front.get_data()).tolist() == [list(point) for point in best]


def test_trade_off_of_a_request_by_ids_is_over_the_membership():
    rows = trials().assign(forget_accuracy=None, forget_membership_auc=[0.9, 0.6, 0.5, 0.55, 0.8, 0.52])
    figure = draw_trade_off(add_distances(summarise(rows, 0.95), classes=10), by_ids=True)
    assert "membership AUC" in figure.axes[0].get_xlabel()
    assert place(points_of(figure)["finetune"]) == pytest.approx((0.8, 1.25))


def test_intervals_are_error_bars():
    summary = summary_of(seeds=2).set_index("method")
    drawn = points_of(draw_trade_off(summary.reset_index()))
    horizontal, vertical = drawn["esd"].lines[2]
    (left, right), (low, high) = horizontal.get_segments()[0][:, 0], vertical.get_segments()[0][:, 1]
    row = summary.loc["esd"]
    assert (right - left) / 2 == pytest.approx(row["forget_accuracy_interval"])
    assert (high - low) / 2 == pytest.approx(row["fid_interval"])


def test_a_comparison_without_methods_to_choose_from_is_drawn_all_the_same():
    drawn = points_of(draw_trade_off(summary_of(only=("base", "retrain"))))
    assert set(drawn) == {"base", "retrain"}


def test_grids_show_the_samples_of_each_method(toy_images):
    other = LabelledImages(255 - toy_images.images, toy_images.labels)
    samples = {"base": toy_images, "esd": other, "retrain": toy_images}
    axes = draw_grids(samples, [1], columns=4).axes
    assert [each.get_title() for each in axes] == list(samples)
    for each, drawn in zip(axes, samples.values(), strict=True):
        assert (each.images[0].get_array() == tile(drawn, 4)).all()


@pytest.mark.parametrize("forgotten", [[], [1], [0, 2]])
def test_forgotten_rows_are_framed_in_every_grid(toy_images, forgotten):
    for axes in draw_grids({"base": toy_images, "esd": toy_images}, forgotten, columns=4).axes:
        frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert sorted(frame.get_y() for frame in frames) == [9 * row - 0.5 for row in forgotten]
        assert all(same_color(frame.get_edgecolor(), FORGOTTEN) and not frame.get_fill() for frame in frames)


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


def test_rows_and_request_have_the_names_of_their_source(toy_images, render):
    axes = draw_grids({"base": toy_images}, [1], 2, names={1: "bag"}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1 bag", "2"]
    assert "forget class 0 shirt (142 images)" in render(names={0: "shirt"})


def test_the_terminal_lists_the_methods_in_the_order_of_the_summary():
    console = Console(width=120, record=True)
    summary = summary_of().sort_values("distance")
    console.print(build_comparison(summary, REQUEST, "the/report.html", {0: "bag"}))
    text = console.export_text()
    assert "compare: class 0 bag (142 images) forgotten" in text
    assert "report: the/report.html" in text
    methods = [line.split()[1] for line in text.splitlines() if line.startswith("│")]
    assert methods == ["retrain", "erasediff", "esd", "base", "finetune", "neggrad"]
    retrain = next(line for line in text.splitlines() if "retrain" in line and line.startswith("│"))
    assert [cell.strip() for cell in retrain.split("│")[2:-1]] == [
        "0.0100",
        "0.7500",
        "1.75",
        "1234.4",
        "0.000",
    ]


def test_there_is_a_colour_for_any_number_of_methods():
    once = summary_of()
    renamed = [once.assign(method=once["method"] + mark) for mark in "abc"]
    many = pd.concat([once, *renamed], ignore_index=True)
    assert len(draw_trade_off(many).axes[0].containers) == len(many) > 20
