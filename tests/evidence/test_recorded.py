import json

import numpy as np
import pandas as pd
import pytest

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evidence.recorded import (
    AUDITED,
    FILES,
    check_files,
    check_run,
    hash_model,
    hash_results,
    list_files,
    seal,
)
from tests.helpers.requests import answered

CURVES = pd.DataFrame({"step": [1, 2], "loss": [0.5, float("nan")]})
WHERE = "audit.model: 'erasediff'"


def samples(value=0):
    return LabelledImages(np.full((2, 1, 8, 8), value, np.uint8), np.array([0, 1]))


@pytest.fixture
def model(unet_model):
    return ModelWithHistory(unet_model().to_pipeline(), (answered(0),))


@pytest.fixture
def results(metrics):
    return {"metrics": metrics, "curves": CURVES, "base_samples": samples(), "erased_samples": samples(9)}


@pytest.fixture
def recorded(run, results, model):
    """``run.json`` as it is read."""
    document = {**run, "results": hash_results(**results) | hash_model(model), "words": {3: "three", 12: "a"}}
    return json.loads(json.dumps(seal(document)))


def refused(check, *arguments):
    with pytest.raises(MissingInput) as error:
        check(*arguments)
    assert "\n" not in error.value.message
    return error.value.message


def test_results_as_their_run_recorded_them_pass(recorded, results, model):
    check_run(recorded, hash_results(**results), WHERE)
    check_run(recorded, hash_model(model), WHERE)


@pytest.mark.parametrize("key", ["cost", "provenance", "results", "sha256"])
@pytest.mark.parametrize("edited", [{}, {"steps": 1}])
def test_an_edited_run_json_is_refused(recorded, results, key, edited):
    recorded[key] = edited
    assert "run.json was edited" in refused(check_run, recorded, hash_results(**results), WHERE)


def test_a_run_json_of_an_earlier_version_is_refused(run):
    for document in (run, seal(run), {}):
        assert "an earlier version wrote it" in refused(check_run, document, {}, WHERE)


@pytest.fixture
def folder(tmp_path, recorded):
    """Evidence of an audit."""
    for name in AUDITED:
        (tmp_path / name).write_text(name)
    (tmp_path / ".audit.json.earlier").write_text("set aside")
    (tmp_path / FILES).write_text(json.dumps(list_files(tmp_path, recorded)))
    (tmp_path / ".audit.json.earlier").unlink()
    return tmp_path


def test_evidence_as_the_audit_has_written_it_passes(folder, recorded):
    check_files(folder, recorded)


@pytest.mark.parametrize("name", AUDITED)
def test_a_changed_or_missing_file_of_the_evidence_is_named(folder, recorded, name):
    (folder / name).write_text("better")
    assert f"{folder / name} is not as the audit" in refused(check_files, folder, recorded)
    (folder / name).unlink()
    assert f"{folder / name} is not as the audit" in refused(check_files, folder, recorded)


def test_the_evidence_of_an_earlier_run_is_refused(folder, run):
    assert "of another run" in refused(check_files, folder, seal({**run, "results": {}}))
