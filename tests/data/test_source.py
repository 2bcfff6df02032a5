import tracemalloc

import numpy as np
import pytest

from erasediff_pipeline.data.source import collect
from erasediff_pipeline.errors import MissingInput


def test_images_are_stacked_as_they_came():
    rows = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
    stacked = collect(row.transpose(0, 2, 1) for row in rows)
    np.testing.assert_array_equal(stacked, rows.transpose(0, 1, 3, 2))
    assert isinstance(stacked, np.memmap)


def test_they_lie_on_the_disk(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    image = np.zeros((1, 256, 256), np.uint8)
    tracemalloc.start()
    stacked = collect(image for _ in range(400))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert stacked.nbytes > 20 * peak
    assert not list(tmp_path.iterdir())


def test_no_image_is_refused():
    with pytest.raises(MissingInput, match="expected at least one image"):
        collect([])
