import pandas as pd
import pytest

from erasediff_pipeline.audits.checks import check_neighbours
from erasediff_pipeline.errors import InvalidParameter

MANIFEST = pd.DataFrame({"id": [f"{i}" for i in range(12)], "label": [0] * 2 + [1] * 6 + [2] * 4})
SPLIT = pd.DataFrame({"id": MANIFEST["id"], "set": ["forget"] * 2 + ["retain"] * 10})


def test_a_retained_class_must_have_more_images_than_neighbours():
    """Classes that are forgotten do not count."""
    check_neighbours(3, 300, MANIFEST, SPLIT)
    with pytest.raises(InvalidParameter, match=r"precision_neighbours: 4: .*\(class 2 has 4\)"):
        check_neighbours(4, 300, MANIFEST, SPLIT)
