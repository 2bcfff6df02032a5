from pathlib import Path

from erasediff_pipeline.config.audit import select_model
from erasediff_pipeline.workspace import Workspace


def test_the_command_that_audits_names_environment_and_model():
    workspace = Workspace(Path("data"), "tiny/")
    audit = "kedro run --env=tiny --pipeline=audit"
    assert workspace.command("audit", select_model("erasediff")) == audit
    assert workspace.command("audit", select_model("salun")) == f"{audit} --params=audit.model=salun"
