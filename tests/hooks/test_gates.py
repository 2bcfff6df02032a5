import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline

from erasediff_pipeline.errors import GatesFailed
from erasediff_pipeline.evidence.gates import FAILED, HELD, LEFT_OUT, NOT_CHECKED, UNDECIDED
from erasediff_pipeline.hooks import EnforceGates


def finish(status, enforced):
    """End a run whose evidence has one gate of this status."""
    gate = {"figure": "fid", "limit": "≤ 1", "status": status, "why": "missed by 0.5"}
    evidence = MemoryDataset({"gates": [gate], "enforced": enforced})
    chain = pipeline([node(lambda: 0, None, "esd.evidence", name="gates")])
    EnforceGates().after_pipeline_run(chain, DataCatalog({"esd.evidence": evidence}))


@pytest.mark.parametrize(
    ("status", "enforced"),
    [(FAILED, False), (UNDECIDED, False), *((status, True) for status in (HELD, NOT_CHECKED, LEFT_OUT))],
)
def test_without_a_missed_gate_that_is_enforced_a_run_succeeds(status, enforced):
    finish(status, enforced)


def test_a_failed_or_undecided_gate_ends_the_run():
    with pytest.raises(GatesFailed, match=r"^gates: fid ≤ 1: missed by 0.5 \(all figures: esd.evidence; "):
        finish(FAILED, True)
    with pytest.raises(GatesFailed, match=r"^gates: undecided: fid ≤ 1: missed by 0.5 \(all figures: esd"):
        finish(UNDECIDED, True)
