import json
from pathlib import Path

import jsonschema
import pytest

from erasediff_pipeline.config import Gate, GateSettings
from erasediff_pipeline.evidence.document import Evidence, collect_evidence

SCHEMA = Path(__file__).parents[2] / "docs/evidence.schema.json"
GATES = GateSettings(limits={"fid": Gate(at_most=9), "inversion_accuracy": Gate(at_most=0.5), "recall": None})


@pytest.fixture
def collect(metrics, run):
    def make(audit=None):
        return collect_evidence(metrics, run, audit, GATES, False, "kedro run --pipeline=audit")

    return make


def test_the_published_schema_is_that_of_the_code():
    """After a change, write this one to the file."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Evidence.model_json_schema()}
    assert SCHEMA.read_text() == json.dumps(schema, indent=2) + "\n"


@pytest.mark.parametrize("audited", [False, True])
def test_the_document_is_what_the_schema_says(collect, audit, audited):
    document = collect(audit if audited else None)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_schema_refuses_what_it_does_not_know(collect):
    for change in ({"verdict": "fine"}, {"more": 1}, {"request": {"by": "classes"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(collect() | change, json.loads(SCHEMA.read_text()))


def test_what_nobody_looked_at_is_listed(collect, audit):
    unchecked = collect()["not_checked"]
    assert unchecked[:2] == [
        "inversion_accuracy: not audited yet: kedro run --pipeline=audit",
        "recall: no limit in gates.limits.recall",
    ]
    assert "damage_worst: no limit in gates.limits.damage_worst" in unchecked
    assert unchecked[-1] == "audits: kedro run --pipeline=audit"
    audit["not_checked"] = ["retrained: audit.retrained is false"]
    unchecked = collect(audit)["not_checked"]
    assert unchecked[0] == "recall: no limit in gates.limits.recall"
    assert unchecked[-1] == "retrained: audit.retrained is false"


def test_every_figure_has_its_interval(collect, metrics, audit):
    document = collect(audit)
    assert document["verdict"] == "failed"
    assert document["metrics"]["erased"] == metrics["erased"]
    assert document["audits"]["retrained"] == audit["models"]["retrained"]
    figures = document["figures"]
    assert set(figures) == {"base", "erased", "retrained"}
    high = pytest.approx(0.018845, abs=1e-6)
    assert figures["erased"]["forget_accuracy"] == {"value": 0, "low": 0, "high": high}
    assert figures["retrained"]["membership_auc"] == {"value": 0.5, "low": 0.4, "high": 0.6}


def test_a_figure_that_is_no_number_is_null_and_fails(collect, metrics):
    metrics["erased"] |= {"fid": float("nan"), "forget_accuracy": float("nan")}
    document = collect()
    assert set(document["figures"]) == {"base", "erased"}
    assert set(document["figures"]["erased"]["forget_accuracy"].values()) == {None}
    assert document["metrics"]["erased"]["fid"] is None
    assert document["verdict"] == "failed"
