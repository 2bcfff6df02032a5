from types import SimpleNamespace

import pytest

from erasediff_pipeline import paths
from erasediff_pipeline.errors import UserError


@pytest.mark.parametrize(
    ("module", "name", "value", "said"),
    [
        ("os", "access", False, r"metrics\.json: .*read-only"),
        ("shutil", "disk_usage", SimpleNamespace(free=3 * 2**20), r"json: 3 MiB are free .*at least 64 MiB"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch, module, name, value, said):
    """Whether it is there already or not."""
    paths.check_writable(tmp_path / "not" / "yet" / "metrics.json")
    monkeypatch.setattr(getattr(paths, module), name, lambda *_: value)
    with pytest.raises(UserError, match=said):
        paths.check_writable(tmp_path / "not" / "yet" / "metrics.json")


@pytest.mark.parametrize("name", ["a%20b", "what?", "a*", "set [1]", "{name}"])
def test_a_folder_that_is_read_as_something_else_is_refused_with_the_remedy(tmp_path, monkeypatch, name):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path / name / "project")
    with pytest.raises(
        UserError, match=r"project: MLflow or Kedro take .* move the project to another folder"
    ):
        paths.check_root()


def test_a_folder_with_a_space_a_hash_or_quotes_is_fine(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path / 'it\'s a #1 "clone"; ä')
    paths.check_root()
