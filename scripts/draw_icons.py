"""Draw the colour icons of the environment ``icons``: ``<folder>/<class>/<code points>.png``, 72×72.

    python scripts/draw_icons.py data/01_raw/icons

Debian's packages ``fonts-noto-color-emoji`` (the pictures) and ``unicode-data`` (their groups) are needed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
LIST = Path("/usr/share/unicode/emoji/emoji-test.txt")
CLASSES = {
    "animals": ("animal-", "cat-face", "monkey-face"),
    "faces": ("face-",),
    "flags": ("country-flag", "subdivision-flag"),
    "hands": ("hand-fingers", "hand-single-finger", "hands"),
    "people": ("person", "person-gesture", "person-role"),
}
"""Class → how the names of its groups in Unicode's list start."""
MOST = 300
"""Icons of a class; of a larger one, one of several is drawn."""
SIZE = 109
"""Pixels: the only size that the font has."""


def read_list(text: str) -> Iterator[tuple[str, str]]:
    """The group and the characters of every icon."""
    group = ""
    for line in text.splitlines():
        if line.startswith("# subgroup:"):
            group = line.partition(":")[2].strip()
        elif "; fully-qualified" in line:
            yield group, "".join(chr(int(code, 16)) for code in line.partition(";")[0].split())


def draw(icon: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The icon on white, in the middle of a square."""
    left, top, right, bottom = font.getbbox(icon)
    side = int(max(right - left, bottom - top))
    square = Image.new("RGB", (side, side), "white")
    place = ((side - right - left) / 2, (side - bottom - top) / 2)
    ImageDraw.Draw(square).text(place, icon, font=font, embedded_color=True)
    return square.resize((72, 72), Image.Resampling.LANCZOS)


def draw_all(folder: Path) -> None:
    """Draw every icon, a folder for each class."""
    font = ImageFont.truetype(FONT, SIZE)
    listed = list(read_list(LIST.read_text(encoding="utf-8")))
    for name, groups in CLASSES.items():
        icons = [icon for group, icon in listed if group.startswith(groups)]
        (folder / name).mkdir(parents=True, exist_ok=True)
        for icon in icons[:: max(1, -(-len(icons) // MOST))]:
            codes = "-".join(f"{ord(character):x}" for character in icon)
            draw(icon, font).save(folder / name / f"{codes}.png")


if __name__ == "__main__":
    missing = [str(file) for file in (FONT, LIST) if not file.exists()]
    if missing:
        sys.exit(f"{missing[0]} is missing: sudo apt-get install fonts-noto-color-emoji unicode-data")
    draw_all(Path(sys.argv[1]))
