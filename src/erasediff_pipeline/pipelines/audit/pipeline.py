"""Erased model → audits → gates → audit.json and one report."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.audits.tables import (
    assess_damage,
    measure_leakage,
    measure_membership,
    sample_retained,
)
from erasediff_pipeline.pipelines.audit import nodes
from erasediff_pipeline.pipelines.bench import set_up_bench

INPUTS = {"base_model", "images", "manifest", "classifier", "compare.store", "workspace"}


def create_pipeline() -> Pipeline:
    """Build the whole audit; its outputs are named ``audit.…`` in the catalog."""
    question = ["bench", "models", "params:audit", "params:seed"]
    expensive = ["bench", "store", *question[1:], "workspace"]
    chain = pipeline(
        [
            set_up_bench(),
            node(
                nodes.find_models,
                [
                    "bench",
                    "compare.store",
                    "erased_model",
                    "model_metrics",
                    "model_run",
                    "curves",
                    "base_samples",
                    "erased_samples",
                    "params:audit",
                    "parameters",
                    "params:seed",
                    "workspace",
                ],
                "models",
                name="find_models",
            ),
            node(nodes.ask("relearning"), expensive, "relearning_table", name="relearning"),
            node(nodes.ask("inversion"), expensive, "inversion_table", name="inversion"),
            node(measure_membership, question, "membership_table", name="membership"),
            node(sample_retained, question, "drawn", name="draw"),
            node(measure_leakage, ["bench", "drawn"], "leakage_table", name="leakage"),
            node(assess_damage, ["bench", "drawn"], "damage_table", name="damage"),
            node(
                nodes.collect,
                [
                    "bench",
                    "models",
                    "relearning_table",
                    "inversion_table",
                    "membership_table",
                    "leakage_table",
                    "damage_table",
                    "params:audit",
                ],
                ["document", "erased_numbers"],
                name="collect",
            ),
            node(
                nodes.check_gates,
                [
                    "model_metrics",
                    "model_run",
                    "document",
                    "params:gates",
                    "params:report",
                    "parameters",
                    "workspace",
                ],
                "evidence",
                name="gates",
            ),
            node(
                nodes.write_report,
                [
                    "base_samples",
                    "erased_samples",
                    "curves",
                    "relearning_table",
                    "inversion_table",
                    "leakage_table",
                    "evidence",
                    "params:report",
                    "manifest",
                ],
                ["figure", "report"],
                name="report",
            ),
            node(nodes.record_files, ["folder", "model_run", "report"], "files", name="record"),
            node(
                nodes.describe_verdict,
                ["models", "evidence", "report"],
                "registered_verdict",
                name="register",
            ),
        ]
    )
    parameters = {name for name in chain.inputs() if name.startswith("params:")}
    return pipeline(chain, namespace="audit", inputs=INPUTS, parameters=parameters)
