import hashlib
import json

import pytest

from erasediff_pipeline.tracking.provenance import describe_provenance, hash_file, version_of


def test_it_is_plain_json():
    described = describe_provenance({"seed": 3})
    assert json.loads(json.dumps(described)) == described
    assert described["parameters"] == {"seed": 3}


@pytest.mark.parametrize("key", ["git_commit", "git_clean", "dvc_lock_sha256", "mlflow_run_id", "packages"])
def test_it_says_where_the_result_comes_from(key):
    assert key in describe_provenance({})


def test_outside_a_checkout_there_is_no_commit(own_project, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(own_project.parent))
    described = describe_provenance({})
    assert described["git_commit"] is None
    assert described["dvc_lock_sha256"] is None


def test_hash_of_a_file(own_project):
    (own_project / "dvc.lock").write_bytes(b"lock")
    assert hash_file("dvc.lock") == hashlib.sha256(b"lock").hexdigest()


def test_version_of_what_is_not_installed():
    assert version_of("no-such-package-here") is None
    assert version_of("torch").startswith("2.")
