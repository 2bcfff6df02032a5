"""Every method on one request: split → a trial a method and seed → table → plot → page."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.pipelines.compare import nodes
from erasediff_pipeline.pipelines.unlearn.nodes import split_data
from erasediff_pipeline.unlearning.registry import METHODS

INPUTS = {"base_model", "images", "manifest", "classifier", "source_report"}


def create_pipeline(methods: list[str] | None = None) -> Pipeline:
    """The whole comparison; what it writes is named ``compare.…`` in the catalog."""
    methods = methods or list(METHODS)
    trials = ["base_trials", *(f"{method}_trials" for method in methods)]
    judging = ["params:sampling", "params:evaluation"]
    chain = pipeline(
        [
            node(
                split_data,
                ["manifest", "params:forget", "params:captions", "base_model"],
                ["split", "request", "conditions"],
                name="split",
            ),
            node(
                nodes.lay_out,
                [
                    "store",
                    "base_model",
                    "images",
                    "manifest",
                    "split",
                    "request",
                    "conditions",
                    "classifier",
                    *judging,
                ],
                "bench",
                name="lay_out",
            ),
            node(nodes.try_base, ["bench", "params:compare", "params:seed"], "base_trials", name="try_base"),
            *(
                node(
                    nodes.try_method(method),
                    ["bench", "params:compare", f"params:{METHODS[method].parameters}", "params:seed"],
                    f"{method}_trials",
                    name=f"try_{method}",
                )
                for method in methods
            ),
            node(
                nodes.tabulate,
                ["request", "classifier", "params:compare", *trials],
                ["trials", "summary", "comparison"],
                name="tabulate",
            ),
            node(
                nodes.report_comparison,
                [
                    "summary",
                    "request",
                    "params:compare",
                    "params:report",
                    "parameters",
                    "base_model",
                    "source_report",
                    *trials,
                ],
                ["trade_off", "grids", "report"],
                name="report",
            ),
            node(nodes.track_methods, ["summary", "parameters", *trials], None, name="track"),
        ]
    )
    parameters = {name for name in chain.inputs() if name.startswith("params:")}
    return pipeline(chain, namespace="compare", inputs=INPUTS, parameters=parameters)
