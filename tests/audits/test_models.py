from pathlib import Path

import pytest

from erasediff_pipeline.audits.models import audit_parameters, name_other_settings
from erasediff_pipeline.workspace import Workspace
from tests.helpers.requests import request

AUDIT = "kedro run --env=tiny --pipeline=audit"


@pytest.mark.parametrize(
    ("model", "changes", "options"),
    [
        ("erasediff", {"classes": (3,)}, " --params=forget.classes=3"),
        ("salun", {"classes": (3,)}, " --params=audit.model=salun,forget.classes=3"),
        ("erasediff", {"by": "prompts", "prompts": ("a cat",)}, " --params='forget.prompts=a cat'"),
        ("erasediff", {"classes": (3, 5)}, " --params='forget.classes=3 5'"),
        (
            "erasediff",
            {"by": "prompts", "prompts": ("it's [a] cat",)},
            """ --params='forget.prompts=it'"'"'s [a] cat'""",
        ),
        # These stand in a file of conf/.
        ("erasediff", {"by": "prompts", "prompts": ("[a",)}, ""),
        ("erasediff", {"by": "prompts", "prompts": ("a: b",)}, ""),
        ("erasediff", {"by": "prompts", "prompts": ("${x}",)}, ""),
        ("erasediff", {"by": "prompts", "prompts": ("a, b",)}, ""),
        ("salun", {"by": "ids"}, " --params=audit.model=salun"),
    ],
)
def test_the_command_that_audits_names_environment_model_and_request(model, changes, options):
    parameters = audit_parameters(model, request(**changes))
    assert Workspace(Path("data"), "tiny/").command("audit", parameters) == AUDIT + options


def test_settings_that_differ_from_the_runs_are_named(caplog):
    of_run = {"seed": 1, "sampling": {"steps": 15, "batch_size": 8}, "evaluation": {"max_samples": 9}}
    asked = {**of_run, "seed": 0, "sampling": {"steps": 3, "batch_size": 4}}
    name_other_settings(of_run, asked, "esd")
    assert caplog.messages == [
        "seed is 0 in this audit, and was 1 in the run of esd",
        "sampling.steps is 3 in this audit, and was 15 in the run of esd",
    ]
    name_other_settings(of_run, of_run, "esd")
    assert len(caplog.messages) == 2
