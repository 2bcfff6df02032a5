import json

from erasediff_pipeline.catalog import SourceReport

REPORT = {"source": "image_folder", "classes": [{"label": 7, "name": "Mütze", "train": 3}]}


def test_it_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "source.json"
    SourceReport(filepath=str(path)).save(REPORT)
    assert json.loads(path.read_text()) == REPORT
    assert SourceReport(filepath=str(path)).load() == REPORT


def test_a_source_that_was_not_prepared_here_has_no_classes(tmp_path):
    report = SourceReport(filepath=str(tmp_path / "source.json"))
    assert not report.exists()
    assert report.load() == {"classes": []}
