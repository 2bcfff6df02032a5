import json

import pytest

from erasediff_pipeline.fingerprint import describe_inputs, fingerprint
from erasediff_pipeline.training import order
from tests.helpers import results

RECORD = json.loads(results.RECORD.read_text())
RENEW = "then record the results anew: python -m tests.helpers.results"


def moved(component):
    """What is wrong with the version of a component; empty where nothing is."""
    version, kept = results.versions()[component], RECORD.get(component, {"version": None})
    if kept["version"] != version:
        return f"{component}: the record is of version {kept['version']}, not {version}: {RENEW}"
    if results.result_of(component) != pytest.approx(kept["values"], rel=1e-3, abs=1e-4):
        return f"{component}: its results have moved, and its version has not: raise the version, {RENEW}"
    return ""


@pytest.mark.parametrize("component", results.versions())
def test_results_move_only_with_the_version(component):
    assert not moved(component)


def test_a_change_of_code_and_a_version_without_its_record_are_named(monkeypatch):
    kept = order.batch_rows
    monkeypatch.setattr("erasediff_pipeline.training.reading.batch_rows", lambda *given: kept(*given)[::-1])
    assert moved("training").startswith("training: its results have moved")
    monkeypatch.setitem(results.VERSIONS, "sampling", 99)
    assert "sampling: the record is of version 2, not 99" in moved("sampling")


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ({"a": 1, "b": (1, 2)}, {"b": [1, 2], "a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": {"x": 1}}, {"a": {"x": 1.5}}, False),
    ],
)
def test_inputs_decide_and_their_order_does_not(one, two, same):
    assert (fingerprint("data", **one) == fingerprint("data", **two)) is same


def test_components_and_versions_decide(monkeypatch):
    told = {fingerprint("data"), fingerprint("sampling"), fingerprint("data", versions={"esd": 1})}
    assert len(told | {fingerprint("data", versions={"esd": 2})}) == 4
    assert describe_inputs("data", seed=3) == {"versions": {"data": 1}, "seed": 3}


def test_what_json_does_not_know_is_an_error():
    with pytest.raises(TypeError):
        fingerprint("data", thing=object())
