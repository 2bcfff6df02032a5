"""The before/after grid and the curves."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from erasediff_pipeline.config import ReportSettings
from erasediff_pipeline.data.class_names import NO_NAMES, name_class
from erasediff_pipeline.data.image_store import ImageStore
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.prompt_list import first_of_each
from erasediff_pipeline.data.request import Request

FORGOTTEN = "#b3261e"
CURVES = {
    "loss": "Loss",
    "retain_loss": "Retain loss L_r",
    "forget_loss": "Forget loss L_f",
    "lambda": "λ, weight of the forget gradient",
    "gradient_cosine": "Cosine of the two gradients",
    "weight_change": "Relative change of the edited weights",
}


def draw_grid(
    base: LabelledImages,
    erased: LabelledImages,
    forgotten: list[int],
    columns: int,
    names: Mapping[int, str] = NO_NAMES,
) -> Figure:
    """Draw samples before (left) and after (right): one row per class, one column per noise.

    ``names`` of the classes are shown on the left only, beside the numbers.
    """
    classes = base.classes
    titles = [name_class(label, names) for label in classes]
    width = 0.42 * (2 * columns + 3) + 0.08 * (max(map(len, titles)) - 1)
    figure = Figure(figsize=(width, 0.42 * len(classes) + 0.8), dpi=160)
    left, right = figure.subplots(1, 2)
    for axes, samples, title in ((left, base, "before"), (right, erased, "after")):
        axes.set_title(title, fontsize=10)
        words = titles if axes is left else list(map(str, classes))
        show_rows(axes, samples, columns, words, [label in forgotten for label in classes])
    if forgotten:
        _explain_frames(figure, [name_class(label, names) for label in forgotten])
    figure.tight_layout(rect=(0, 0.03 if forgotten else 0, 1, 0.98))
    return figure


def draw_grid_of_request(
    base: LabelledImages,
    erased: LabelledImages,
    request: Request,
    settings: ReportSettings,
    names: Mapping[int, str] = NO_NAMES,
) -> Figure:
    """Draw the grid, without rows of forgotten classes if ``report.hide_forgotten`` is set."""
    forgotten = request.forgotten_classes
    if settings.hide_forgotten:
        base, erased = (images.select(~np.isin(images.labels, forgotten)) for images in (base, erased))
        forgotten = []
    return draw_grid(base, erased, forgotten, settings.grid_columns, names)


def show_rows(
    axes: Axes,
    samples: LabelledImages,
    columns: int,
    names: Sequence[str],
    forgotten: Sequence[bool],
    size: float = 9,
) -> None:
    """Draw one row per class with its name, in ``size`` points; forgotten rows are framed."""
    height = samples.shape[1] + 1
    axes.imshow(tile(samples, columns), cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([height * row + height / 2 for row in range(len(names))])
    axes.set_yticklabels(names, fontsize=size, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for row, (gone, text) in enumerate(zip(forgotten, axes.get_yticklabels(), strict=True)):
        if gone:
            text.set_color(FORGOTTEN)
            text.set_fontweight("bold")
            frame = axes.axhspan(
                height * row - 0.5, height * (row + 1) - 1.5, fill=False, color=FORGOTTEN, lw=1.8
            )
            frame.set_clip_on(False)


def _explain_frames(figure: Figure, forgotten: Sequence[str]) -> None:
    """Explain the frames at the bottom."""
    text = f"framed: forgotten ({', '.join(forgotten)})"
    figure.text(0.5, 0.01, text, ha="center", fontsize=8, color=FORGOTTEN, parse_math=False)


def draw_pairs(
    pairs: list[tuple[np.ndarray, np.ndarray]],
    classes: list[str],
    columns: int,
    forgotten: Sequence[str] = (),
) -> Figure:
    """Draw images of a list of prompts, before (left) and after (right), one row per class.

    Args:
        pairs: Each image before and after, ``[3, H, W]`` uint8, in the order of the classes.
        classes: Class of each pair.
        columns: Pairs in a row, at most.
        forgotten: Classes to frame, in lower case.
    """
    names = list(dict.fromkeys(classes))
    rows = np.array([names.index(name) for name in classes])
    before, after = (LabelledImages(np.stack(images), rows) for images in zip(*pairs, strict=True))
    columns = min(columns, int(np.bincount(rows).max()))
    figure = Figure(figsize=(1.1 * columns + 1.5, 0.55 * len(names) + 0.6), dpi=160)
    for axes, samples, title in zip(figure.subplots(1, 2), (before, after), ("before", "after"), strict=True):
        axes.set_title(title, fontsize=10)
        words = names if title == "before" else [""] * len(names)
        show_rows(axes, samples, columns, words, [name.casefold() in forgotten for name in names], size=8)
    framed = [name for name in names if name.casefold() in forgotten]
    if framed:
        _explain_frames(figure, framed)
    figure.tight_layout(rect=(0, 0.04 if framed else 0, 1, 1))
    return figure


def draw_prompt_pairs(
    store: ImageStore,
    places: list[tuple[str, str]],
    classes: pd.Series,
    forgotten: Sequence[str],
    settings: ReportSettings,
) -> Figure:
    """Draw the first images of each class of a list of prompts, before and after.

    Args:
        store: The images.
        places: Places of each row's image before and after.
        classes: Class of each row.
        forgotten: Words of the forgotten classes.
        settings: Images per class. ``hide_forgotten`` omits forgotten classes and rows without a class.
    """
    gone = [word.casefold() for word in forgotten]  # classes are read whatever their case
    shown = classes
    if settings.hide_forgotten:
        shown = classes[~classes.str.casefold().isin(["", *gone])]
    if shown.empty:
        return _draw_note("All images are hidden: report.hide_forgotten is set.")
    rows = first_of_each(shown, settings.grid_columns)
    pairs = [(store.load(places[row][0]), store.load(places[row][1])) for row in rows]
    return draw_pairs(pairs, list(classes.iloc[rows]), settings.grid_columns, gone)


def _draw_note(text: str) -> Figure:
    """Draw a line of text in place of pictures."""
    figure = Figure(figsize=(6, 0.6), dpi=160)
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=10)
    return figure


def tile(samples: LabelledImages, columns: int) -> np.ndarray:
    """Tile the first images of each class, one row per class: ``[H, W]`` or ``[H, W, 3]`` uint8."""
    channels, height, width = samples.shape
    classes = samples.classes
    columns = min(columns, max((samples.labels == label).sum() for label in classes))
    canvas = np.full((len(classes) * (height + 1), columns * (width + 1), channels), 255, dtype=np.uint8)
    for row, label in enumerate(classes):
        for column, image in enumerate(samples.images[samples.labels == label][:columns]):
            top, start = row * (height + 1), column * (width + 1)
            canvas[top : top + height, start : start + width] = image.transpose(1, 2, 0)
    return canvas[:, :, 0] if channels == 1 else canvas


def draw_curves(curves: pd.DataFrame) -> Figure:
    """Plot what the method logs over the steps: those of ``CURVES`` if it logs any of them, else all."""
    logged = [str(key) for key in curves if key != "step"]
    shown = {key: title for key, title in CURVES.items() if key in logged} or {key: key for key in logged}
    across = min(2, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(4 * across, 2.3 * down + 0.4), dpi=120)
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    for axes, (key, title) in zip(panels, shown.items(), strict=False):
        marker = "o" if len(curves) == 1 else None  # a line through one point shows nothing
        axes.plot(curves["step"], curves[key], lw=1.4, color="#3b5b92", marker=marker)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    figure.tight_layout()
    return figure
