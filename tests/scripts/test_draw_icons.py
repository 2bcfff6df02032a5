"""``scripts/draw_icons.py``; the font and the list are Debian's."""

import pytest
from PIL import Image

from scripts import draw_icons
from tests.helpers.project import ENABLE

LISTED = """
# group: Flags
# subgroup: country-flag
1F1E6 1F1E8                                            ; fully-qualified     # AC E2.0 flag: Ascension Island
# subgroup: hand-fingers-open
1F44B                                                  ; fully-qualified     # waving hand
1F590                                                  ; unqualified         # hand with fingers splayed
"""


def test_a_list_is_read_by_groups():
    assert list(draw_icons.read_list(LISTED)) == [("country-flag", "🇦🇨"), ("hand-fingers-open", "👋")]


@pytest.mark.skipif(not draw_icons.FONT.exists(), reason=f"{draw_icons.FONT} is missing: {ENABLE}")
def test_each_icon_is_drawn_in_colour(tmp_path, monkeypatch):
    (tmp_path / "list.txt").write_text(LISTED, encoding="utf-8")
    monkeypatch.setattr(draw_icons, "LIST", tmp_path / "list.txt")
    draw_icons.draw_all(tmp_path / "icons")
    files = sorted(path.relative_to(tmp_path / "icons").as_posix() for path in tmp_path.rglob("*.png"))
    assert files == ["flags/1f1e6-1f1e8.png", "hands/1f44b.png"]
    image = Image.open(tmp_path / "icons" / files[1])
    assert image.size == (72, 72)
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert len(image.getcolors(72 * 72)) > 50
