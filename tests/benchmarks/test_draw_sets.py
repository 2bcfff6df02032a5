"""``benchmarks/draw_sets.py``."""

import numpy as np
import pytest
from PIL import Image

from draw_sets import SETS, draw_set, main
from tests.helpers.project import hash_tree


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_in_colour_and_the_same_each_time(name, tmp_path, monkeypatch):
    form, _, classes = SETS[name]
    monkeypatch.setitem(SETS, name, (form, 5, classes))
    draw_set(name, tmp_path / "a")
    assert main([name, str(tmp_path / "b")]) == 0
    assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "b")
    for label in classes:
        pixels = [np.asarray(Image.open(file)) for file in sorted((tmp_path / "a" / label).iterdir())]
        assert len(pixels) == 5
        assert all(image.shape == (48, 48, 3) and image.std() > 5 for image in pixels)
        assert len({image.tobytes() for image in pixels}) == 5
