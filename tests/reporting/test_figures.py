from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color

from erasediff_pipeline.config import ReportSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.reporting.figures import (
    FORGOTTEN,
    draw_curves,
    draw_grid,
    draw_grid_of_request,
    draw_pairs,
    tile,
)
from tests.helpers.requests import request
from tests.reporting.conftest import framed_rows


@pytest.mark.parametrize("forgotten", [[], [0], [1], [0, 2]])
def test_forgotten_rows_are_framed_before_and_after(toy_images, forgotten):
    other = LabelledImages(255 - toy_images.images, toy_images.labels)
    figure = draw_grid(toy_images, other, forgotten, columns=4)
    assert [axes.get_title() for axes in figure.axes] == ["before", "after"]
    for axes, images in zip(figure.axes, (toy_images, other), strict=True):
        assert (axes.images[0].get_array() == tile(images, 4)).all()
        assert framed_rows(axes) == forgotten
        marked = [int(t.get_text()) for t in axes.get_yticklabels() if same_color(t.get_color(), FORGOTTEN)]
        assert marked == forgotten
    said = f"framed: forgotten ({', '.join(map(str, forgotten))})"
    assert [text.get_text() for text in figure.texts] == [said] * bool(forgotten)


def test_forgotten_words_are_framed_among_the_prompts():
    image = np.zeros((3, 8, 8), np.uint8)
    pairs, classes = [(image, image)] * 4, ["cat", "cat", "dog", "cow"]
    figure = draw_pairs(pairs, classes, 2, forgotten=["dog", "bird"])
    assert [framed_rows(axes) for axes in figure.axes] == [[1], [1]]
    assert [text.get_text() for text in figure.texts] == ["framed: forgotten (dog)"]
    assert not draw_pairs(pairs, classes, 2).texts


def test_frame_is_at_the_row_and_not_at_the_label(toy_images):
    """Classes 5 and 9 only: class 9 is the second row."""
    images = LabelledImages(toy_images.images[:6], np.array([5, 9] * 3))
    assert [framed_rows(axes) for axes in draw_grid(images, images, [9], columns=3).axes] == [[1], [1]]


def test_classes_have_the_names_of_their_source(toy_images):
    """Once, on the left; a class without a name, or whose name is its number, is its number."""
    figure = draw_grid(toy_images, toy_images, [2], 4, {0: "T-shirt/top", 1: "1", 2: "Coat"})
    left, right = ([text.get_text() for text in axes.get_yticklabels()] for axes in figure.axes)
    assert left == ["0 T-shirt/top", "1", "2 Coat"]
    assert right == ["0", "1", "2"]
    assert figure.texts[0].get_text() == "framed: forgotten (2 Coat)"
    plain = draw_grid(toy_images, toy_images, [2], 4)
    assert figure.get_figwidth() > plain.get_figwidth()
    assert [text.get_text() for text in plain.axes[0].get_yticklabels()] == right


def test_a_dollar_in_a_name_is_no_mathematics(toy_images):
    image = toy_images.images[0].repeat(3, axis=0)
    for figure in (
        draw_grid(toy_images, toy_images, [0, 2], 4, {0: r"$\nothing$", 2: "5$"}),
        draw_pairs([(image, image)], [r"$\nothing$"], 1, forgotten=[r"$\nothing$"]),
    ):
        figure.savefig(BytesIO())
        labels = [label for axes in figure.axes for label in axes.get_yticklabels()]
        assert not any(text.get_parse_math() for text in [*figure.texts, *labels])


def test_tiles_are_the_first_images_of_each_class_and_missing_ones_are_white(toy_images):
    canvas = tile(toy_images, 5)
    assert canvas.shape == (3 * 9, 5 * 9)
    for row, column in np.ndindex(3, 5):
        image = toy_images.images[toy_images.labels == row][column, 0]
        assert (canvas[9 * row : 9 * row + 8, 9 * column : 9 * column + 8] == image).all()
    assert (tile(toy_images.select(np.arange(3)), 2)[:, 9:] == 255).all()


def test_colour_tiles_keep_their_channels():
    images = LabelledImages(np.arange(3 * 4, dtype=np.uint8).reshape(1, 3, 2, 2), np.array([0]))
    canvas = tile(images, 1)
    assert canvas.shape == (3, 3, 3)
    assert canvas[0, 0].tolist() == [0, 4, 8]


@pytest.mark.parametrize(
    ("logged", "shown"),
    [
        ({"retain_loss": [3.0, 2.0, 1.0], "lambda": [0.0, 0.5, 1.0]}, [[3, 2, 1], [0, 0.5, 1]]),
        ({"loss": [2.0, 1.0, 0.5], "gradient_norm": [0.5, 0.4, 0.3]}, [[2, 1, 0.5]]),
    ],
    ids=["two losses", "one loss"],
)
def test_curves_show_what_was_logged(logged, shown):
    figure = draw_curves(pd.DataFrame({"step": [0, 5, 9], **logged}))
    lines = [line for axes in figure.axes for line in axes.lines]
    assert [line.get_ydata().tolist() for line in lines] == shown
    assert all(line.get_xdata().tolist() == [0, 5, 9] for line in lines)


@pytest.mark.parametrize(("hidden", "rows"), [(False, ["0 boot", "1", "2"]), (True, ["0 boot", "2"])])
def test_no_row_of_a_forgotten_class_is_drawn_where_it_is_hidden(toy_images, hidden, rows):
    settings = ReportSettings(grid_columns=2, hide_forgotten=hidden)
    figure = draw_grid_of_request(toy_images, toy_images, request(classes=[1]), settings, {0: "boot"})
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == rows
    for axes in figure.axes:
        assert axes.images[0].get_array().shape[0] == 9 * len(rows)


def test_a_method_that_logs_names_of_its_own_has_curves():
    figure = draw_curves(pd.DataFrame({"step": [0, 1], "alignment": [0.5, 0.4]}))
    assert [axes.get_title() for axes in figure.axes if axes.lines] == ["alignment"]
