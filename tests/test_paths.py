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
