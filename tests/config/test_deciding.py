import json

from erasediff_pipeline.config.deciding import DECIDING, settings_of
from erasediff_pipeline.parameters import Parameters


def test_settings_are_those_of_the_sections_as_plain_values():
    """Kedro mixes validated sections with plain ones."""
    parameters = dict(Parameters()) | {"seed": 3, "neggrad": {"steps": 1}}
    settings = settings_of(parameters, "unlearn", "neggrad")
    assert set(settings) == DECIDING | {"unlearn", "neggrad"}
    assert json.loads(json.dumps(settings))["unlearn"]["steps"] == Parameters().unlearn.steps
    assert list(settings) == [key for key in parameters if key in settings]
