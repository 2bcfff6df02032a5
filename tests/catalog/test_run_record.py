from erasediff_pipeline.catalog import RunRecord


def test_a_model_that_was_pulled_has_no_record(tmp_path):
    record = RunRecord(filepath=str(tmp_path / "run.json"))
    assert record.load() == {}
    record.save({"cost": {"steps": 2}})
    assert record.load() == {"cost": {"steps": 2}}
