import pytest
from pydantic import ValidationError

from erasediff_pipeline.config.explain import explain_validation
from erasediff_pipeline.parameters import Parameters

UNKNOWN = "unknown parameter"


@pytest.mark.parametrize(
    ("parameters", "start", "named", "unnamed"),
    [
        ({"unlearn": {"stepz": 3}}, f"unlearn.stepz: {UNKNOWN}", ["steps", "control"], ["test_fraction"]),
        ({"unlern": {}}, f"unlern: {UNKNOWN}", ["unlearn", "sampling"], []),
        (
            {"gates": {"limits": {"fid": {"atmost": 1.1}}}},
            f"gates.limits.fid.atmost: {UNKNOWN}",
            ["at_most", "at_least"],
            [],
        ),
        (
            {"denoiser": {"text_to_image": {"autoencoder": {"stepz": 4}}}},
            f"denoiser.text_to_image.autoencoder.stepz: {UNKNOWN}",
            ["kl_weight"],
            [],
        ),
        ({"unlearn": {"steps": 0}}, "unlearn.steps: 0", ["greater than or equal to 1"], []),
        ({"unlearn": {"control": "none"}}, "unlearn.control: 'none'", ["grad_norm", "fixed"], []),
        ({"forget": {"classes": [0, 1.5]}}, "forget.classes.1: 1.5", ["number or the name of a class"], []),
        (
            {"forget": {"classes": [0], "ids_file": "ids.csv"}},
            "forget: ",
            ["exactly one of classes, ids_file and prompts"],
            ["Value error"],
        ),
        ({"seed": -1, "unlearn": {"steps": 0}}, "seed: -1", ["(and 1 more)"], []),
    ],
)
def test_the_first_problem_is_one_line_with_key_value_and_what_is_expected(parameters, start, named, unnamed):
    with pytest.raises(ValidationError) as error:
        Parameters.model_validate(parameters)
    line = explain_validation(error.value, Parameters)
    assert line.startswith(start)
    assert "\n" not in line
    assert all(words in line for words in named)
    assert not any(words in line for words in unnamed)
