import json

import pytest
from kedro.io import DatasetError

from erasediff_pipeline.catalog import ClassNames


def test_names_are_those_of_the_source(tmp_path):
    path = tmp_path / "source.json"
    rows = [{"label": 0, "name": "Mütze", "train": 3}, {"label": 7, "name": "coat", "train": 4}]
    path.write_text(json.dumps({"source": "image_folder", "classes": rows}))
    assert ClassNames(str(path)).load() == {0: "Mütze", 7: "coat"}


def test_a_source_that_was_not_prepared_here_has_no_names(tmp_path):
    names = ClassNames(str(tmp_path / "source.json"))
    assert names.exists()
    assert names.load() == {}


def test_names_are_not_written_here(tmp_path):
    with pytest.raises(DatasetError, match="prepare"):
        ClassNames(str(tmp_path / "source.json")).save({0: "coat"})
    assert not list(tmp_path.iterdir())
