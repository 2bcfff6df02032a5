import numpy as np
import pytest

from erasediff_pipeline.audits.damage import measure_damage
from erasediff_pipeline.evaluation.features import classifier_features


def test_the_class_that_suffered_is_seen(toy_images, judge):
    """Class 1 is drawn as class 2, class 0 as it is: only the former has lost anything."""
    kept = toy_images.select(toy_images.labels == 0)
    other = toy_images.select(toy_images.labels == 2)
    samples = kept.join(other.relabelled(np.ones(len(other), np.int64)))
    table = measure_damage(samples, toy_images, judge, classifier_features(judge), 3).set_index("label")
    assert table["retain_accuracy"].to_dict() == {0: 1.0, 1: 0.0}
    assert table["fid"][0] == pytest.approx(0, abs=1e-6)
    assert table["fid"][1] > 1
    assert table["recall"].to_dict() == {0: 1.0, 1: 0.0}
