import json

import pytest

from erasediff_pipeline.config import GateSettings
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.evidence.document import collect_evidence
from erasediff_pipeline.evidence.signature import BadSignature
from erasediff_pipeline.evidence.signed import read_evidence
from tests.helpers.requests import answered, request


@pytest.fixture
def pipeline(unet_model):
    return unet_model().to_pipeline()


@pytest.fixture
def evidence(pipeline, metrics, run, tmp_path):
    """Of a model that has forgotten the class 1, and then the class 0."""
    metrics["forget"] = request(earlier=(answered(1),)).to_json()
    run["provenance"]["erased_model_sha256"] = hash_pipeline(pipeline)
    document = collect_evidence(metrics, run, None, GateSettings(), False, "kedro run --pipeline=audit")
    (tmp_path / "evidence.json").write_text(json.dumps(document))
    return tmp_path


FORGOTTEN = (answered(1), answered(0, forget_sha256="f0f0"))


def test_evidence_of_this_model_is_read(pipeline, evidence):
    read = read_evidence(ModelWithHistory(pipeline, FORGOTTEN), evidence / "model", evidence)
    assert read.request == Request.model_validate(request(earlier=(answered(1),)).to_json())


@pytest.mark.parametrize("history", [(), FORGOTTEN[:1], FORGOTTEN[1:], (*FORGOTTEN, answered(2))])
def test_evidence_of_another_history_is_refused(pipeline, evidence, history):
    with pytest.raises(BadSignature, match=r"request_history\.json says otherwise"):
        read_evidence(ModelWithHistory(pipeline, history), evidence / "model", evidence)
