"""End a run with status 1 if a gate failed or is undecided."""

from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from erasediff_pipeline.errors import GatesFailed
from erasediff_pipeline.evidence.gates import FAILED, UNDECIDED, describe_gate
from erasediff_pipeline.hooks.datasets import place_of


class EnforceGates:
    """End the run with status 1 if a gate failed or is undecided, after its results are saved and shown."""

    @hook_impl(trylast=True)  # registered after ShowSummary, so called after it, as the last of all
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Read every evidence document that the run has made."""
        for name in sorted(pipeline.all_outputs()):
            if name.endswith(".evidence"):
                _enforce(catalog.load(name), place_of(catalog, name))


def _enforce(evidence: dict[str, Any], where: str) -> None:
    """Refuse evidence with a failed or undecided gate, unless ``gates.enforce`` is off.

    Raises:
        GatesFailed: Names each of these gates, and why.
    """
    missed = [gate for gate in evidence["gates"] if gate["status"] in (FAILED, UNDECIDED)]
    if missed and evidence["enforced"]:
        said = "; ".join("undecided: " * (g["status"] == UNDECIDED) + describe_gate(g) for g in missed)
        raise GatesFailed(f"gates: {said} (all figures: {where}; gates.enforce=false only reports)")
