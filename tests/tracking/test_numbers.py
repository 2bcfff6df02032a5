from erasediff_pipeline.tracking.numbers import flatten, numbers_of


def test_nested_values_get_dotted_names():
    assert flatten({"a": {"b": {1: [2]}, "c": None}, "d": {}, "e": 3}) == {"a.b.1": [2], "a.c": None, "e": 3}


def test_only_numbers_are_kept():
    metrics = {"fid": 2, "backend": "judge", "by_class": {"3": 0.5, "4": None}, "held": True}
    assert numbers_of(metrics) == {
        "fid": {"value": 2.0, "step": 0},
        "by_class.3": {"value": 0.5, "step": 0},
        "held": {"value": 1.0, "step": 0},
    }
