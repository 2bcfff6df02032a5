"""DVC against a real object store: a remote of one's own, as the README says."""

import shutil
from itertools import product

import pytest
from boto3.exceptions import S3UploadFailedError
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

from tests.helpers.project import copy_clone, dvc, git, hash_tree
from tests.helpers.servers import BUCKET, KEYS

WRONG = [{"AWS_SECRET_ACCESS_KEY": "guessed"}, {"AWS_ACCESS_KEY_ID": "somebody"}]
PULLED = ("data/03_primary/images", "data/06_models/base", "data/06_models/classifier")


def name_remote(project, store):
    """The commands of the README, and the address of a store that is not Amazon's."""
    dvc(project, "remote", "add", "-d", "mine", f"s3://{BUCKET}/store")
    dvc(project, "remote", "modify", "mine", "endpointurl", store.url)


@pytest.fixture(scope="module")
def pushed(project, object_store, tmp_path_factory):
    """A project whose reference data and models were pushed to the object store."""
    own = copy_clone(project, tmp_path_factory.mktemp("pushed") / "project")
    name_remote(own, object_store)
    dvc(own, "push", *PULLED, **object_store.environment)
    return own


def test_what_was_pushed_is_pulled_in_a_fresh_clone(pushed, object_store, tmp_path):
    assert any(object_store.folder.joinpath("store/files/md5").iterdir())
    fresh = tmp_path / "fresh"
    git(tmp_path, "clone", "--quiet", str(pushed), str(fresh))
    shutil.rmtree(fresh / "reference_store")
    name_remote(fresh, object_store)
    dvc(fresh, "pull", *PULLED, **object_store.environment)
    for name in PULLED:
        assert hash_tree(fresh / name) == hash_tree(pushed / name) != {}


def test_wrong_keys_are_refused(pushed, object_store, tmp_path):
    own = copy_clone(pushed, tmp_path / "project")
    before = hash_tree(object_store.folder)
    shutil.rmtree(own / ".dvc/cache")
    shutil.rmtree(own / "data/06_models/base")
    for wrong, command in product(WRONG, ("pull", "push")):
        keys = {**object_store.environment, **wrong}
        done = dvc(own, command, "data/06_models/base", check=False, **keys)
        assert done.code != 0, done.output
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in done.output
    assert not (own / "data/06_models/base").exists()
    assert hash_tree(object_store.folder) == before


def test_mlflows_files_are_refused_with_wrong_keys(object_store, monkeypatch, tmp_path):
    """The store as MLflow's artifact store, by MLflow's own client."""
    file = tmp_path / "report.html"
    file.write_text("<p>digit 0</p>")
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)

    def send(keys):
        pair = keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"]
        S3ArtifactRepository(f"s3://{BUCKET}/{tmp_path.name}", *pair).log_artifact(str(file))

    before = hash_tree(object_store.folder)
    for wrong in WRONG:
        with pytest.raises(S3UploadFailedError) as caught:
            send({**KEYS, **wrong})
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
    assert hash_tree(object_store.folder) == before
    send(KEYS)
    assert hash_tree(object_store.folder) != before
