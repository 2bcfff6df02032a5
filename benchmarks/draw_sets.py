"""Draw sets of images like those that users bring: ``<folder>/<class>/<file>``, the same files each time.

python benchmarks/draw_sets.py shapes data/01_raw/shapes
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

SIDE = 48
Draw = Callable[[np.random.Generator], Image.Image]


def colours(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A dark colour and a light one."""
    dark, light = rng.integers(0, 130, 3), rng.integers(150, 256, 3)
    first, second = (dark, light) if rng.random() < 0.5 else (light, dark)
    return tuple(map(int, first)), tuple(map(int, second))


def shape(corners: int, star: bool = False) -> Draw:
    """A regular polygon or star somewhere on a plain ground; many corners make a circle."""

    def draw(rng: np.random.Generator) -> Image.Image:
        ground, colour = colours(rng)
        image = Image.new("RGB", (SIDE, SIDE), ground)
        radius, turn, (x, y) = rng.uniform(12, 20), rng.uniform(0, 2 * np.pi), rng.uniform(20, 28, 2)
        count, points = corners * (2 if star else 1), []
        for k in range(count):
            angle, r = turn + 2 * np.pi * k / count, radius * (0.4 if star and k % 2 else 1.0)
            points.append((x + r * np.cos(angle), y + r * np.sin(angle)))
        ImageDraw.Draw(image).polygon(points, fill=colour)
        return image

    return draw


def pattern(of: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Draw:
    """Two colours, where a function of the place, in periods, is positive or not."""

    def draw(rng: np.random.Generator) -> Image.Image:
        scale, (dx, dy) = rng.uniform(8, 14), rng.uniform(0, SIDE, 2)
        y, x = np.mgrid[:SIDE, :SIDE].astype(float)
        first, second = colours(rng)
        inside = of((x - dx) / scale * 2 * np.pi, (y - dy) / scale * 2 * np.pi) > 0
        return Image.fromarray(np.where(inside[..., None], first, second).astype(np.uint8))

    return draw


def letter(character: str) -> Draw:
    """A letter in one of the fonts that matplotlib brings."""
    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
    fonts = [file for file in sorted(folder.glob("DejaVu*.ttf")) if "Display" not in file.name]

    def draw(rng: np.random.Generator) -> Image.Image:
        ground, colour = colours(rng)
        image = Image.new("RGB", (SIDE, SIDE), ground)
        font = ImageFont.truetype(fonts[rng.integers(len(fonts))], int(rng.integers(30, 44)))
        place = tuple(SIDE / 2 + rng.uniform(-3, 3, 2))
        ImageDraw.Draw(image).text(place, character, fill=colour, font=font, anchor="mm")
        return image.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC, fillcolor=ground)

    return draw


def crop(name: str) -> Draw:
    """A square of one of the photographs that scikit-image brings."""
    photograph = Image.fromarray(getattr(data, name)()).convert("RGB")

    def draw(rng: np.random.Generator) -> Image.Image:
        side = int(rng.integers(90, 160))
        left, top = (int(rng.integers(0, length - side)) for length in photograph.size)
        part = photograph.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
        return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part

    return draw


SETS: dict[str, tuple[str, int, dict[str, Draw]]] = {
    "shapes": (
        "jpg",
        150,
        {"circles": shape(60), "squares": shape(4), "stars": shape(5, star=True), "triangles": shape(3)},
    ),
    "patterns": (
        "png",
        220,
        {
            "checks": pattern(lambda x, y: np.sin(x) * np.sin(y)),
            "dots": pattern(lambda x, y: np.cos(x) + np.cos(y) - 0.8),
            "rings": pattern(lambda x, y: np.cos(np.hypot(x, y))),
            "stripes": pattern(lambda x, y: np.sin(x)),
        },
    ),
    "letters": ("png", 300, {character: letter(character) for character in "AESTX"}),
    "photographs": ("jpg", 200, {name: crop(name) for name in ("astronaut", "chelsea", "coffee", "rocket")}),
}
"""Form of the files, images of each class, and how each class is drawn."""


def draw_set(name: str, folder: Path, seed: int = 0) -> None:
    """Draw every image of a set."""
    form, count, classes = SETS[name]
    for number, (label, draw) in enumerate(classes.items()):
        rng = np.random.default_rng([seed, number])
        (folder / label).mkdir(parents=True, exist_ok=True)
        for row in range(count):
            draw(rng).save(folder / label / f"{row:03d}.{form}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    draw_set(options.set, options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
