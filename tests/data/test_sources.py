import numpy as np

from erasediff_pipeline.data.sources import read_digits


def test_digits_are_spread_over_all_grey_levels():
    digits = read_digits()
    assert digits.images.shape == (1797, 1, 8, 8)
    assert digits.classes == list(range(10))
    assert np.unique(digits.images).tolist() == np.rint(np.arange(17) * 255 / 16).tolist()
