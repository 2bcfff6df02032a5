from typing import get_args

import numpy as np

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data.sources import SOURCES, read_digits


def test_settings_name_every_source():
    assert set(get_args(SourceSettings.model_fields["name"].annotation)) == set(SOURCES)


def test_digits_are_spread_over_all_grey_levels():
    digits = read_digits(SourceSettings())[0]
    assert digits.images.shape == (1797, 1, 8, 8)
    assert digits.classes == list(range(10))
    assert np.unique(digits.images).tolist() == np.rint(np.arange(17) * 255 / 16).tolist()


def test_digits_may_be_larger_and_in_colour():
    small, _ = read_digits(SourceSettings())
    large, _ = read_digits(SourceSettings(side=16, rgb=True))
    assert large.shape == (3, 16, 16)
    assert (large.images[:, 0] == large.images[:, 2]).all()
    assert large.labels.tolist() == small.labels.tolist()
    means = [data.images[:, 0].mean(axis=(1, 2)) for data in (small, large)]
    np.testing.assert_allclose(*means, atol=2)
