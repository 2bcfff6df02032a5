"""A model that has forgotten → is it really gone? → audit.json and one report."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.pipelines.audit import nodes
from erasediff_pipeline.pipelines.compare.nodes import lay_out
from erasediff_pipeline.pipelines.unlearn.nodes import split_data

INPUTS = {"base_model", "images", "manifest", "classifier", "source_report", "compare.store"}


def create_pipeline() -> Pipeline:
    """The whole audit; what it writes is named ``audit.…`` in the catalog."""
    question = ["bench", "models", "params:audit", "params:seed"]
    dear = ["bench", "store", *question[1:]]
    chain = pipeline(
        [
            node(
                split_data,
                ["manifest", "params:forget", "params:captions", "base_model"],
                ["split", "request", "conditions"],
                name="split",
            ),
            node(
                lay_out,
                [
                    "compare.store",
                    "base_model",
                    "images",
                    "manifest",
                    "split",
                    "request",
                    "conditions",
                    "classifier",
                    "params:sampling",
                    "params:evaluation",
                ],
                "bench",
                name="lay_out",
            ),
            node(
                nodes.find_models,
                [
                    "bench",
                    "erased_model",
                    "model_metrics",
                    "model_run",
                    "params:audit",
                    "parameters",
                    "params:seed",
                ],
                "models",
                name="find_models",
            ),
            node(nodes.put("relearning"), dear, "relearning_table", name="relearning"),
            node(nodes.put("inversion"), dear, "inversion_table", name="inversion"),
            node(nodes.tell_members, question, "membership_table", name="membership"),
            node(nodes.draw_the_rest, question, "drawn", name="draw"),
            node(nodes.look_for_leaks, ["bench", "drawn"], "leakage_table", name="leakage"),
            node(nodes.assess_damage, ["bench", "drawn"], "damage_table", name="damage"),
            node(
                nodes.collect_audits,
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
                nodes.hold_gates,
                ["model_metrics", "model_run", "document", "params:gates", "params:report", "parameters"],
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
                    "source_report",
                ],
                ["figure", "report"],
                name="report",
            ),
            node(
                nodes.tell_registry, ["models", "evidence", "report"], "registered_verdict", name="register"
            ),
        ]
    )
    parameters = {name for name in chain.inputs() if name.startswith("params:")}
    return pipeline(chain, namespace="audit", inputs=INPUTS, parameters=parameters)
