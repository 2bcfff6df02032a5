import hashlib
import json

import kedro

from erasediff_pipeline.tracking import provenance
from erasediff_pipeline.tracking.provenance import describe_provenance


def test_it_is_plain_json_that_names_parameters_code_and_packages():
    described = describe_provenance({"seed": 3})
    assert json.loads(json.dumps(described)) == described
    assert described["parameters"] == {"seed": 3}
    assert described["packages"]["kedro"] == kedro.__version__
    assert {"git_commit", "git_clean", "mlflow_run_id"} <= set(described)


def test_without_a_checkout_or_a_package_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "project_root", lambda: tmp_path)
    monkeypatch.setattr(provenance, "PACKAGES", ["no-such-package-here"])
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    described = describe_provenance({})
    assert described["git_commit"] is None
    assert described["dvc_lock_sha256"] is None
    assert described["packages"] == {"no-such-package-here": None}
    (tmp_path / "dvc.lock").write_bytes(b"lock")
    assert describe_provenance({})["dvc_lock_sha256"] == hashlib.sha256(b"lock").hexdigest()
