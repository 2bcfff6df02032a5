"""Every method on one request: task → one trial per method and seed → table → plot → page."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.pipelines.bench import set_up_bench
from erasediff_pipeline.pipelines.compare import nodes
from erasediff_pipeline.unlearning.registry import METHODS

INPUTS = {"base_model", "images", "manifest", "classifier", "workspace", "outbox"}


def create_pipeline() -> Pipeline:
    """Build the whole comparison; its outputs are named ``compare.…`` in the catalog."""
    trials = ["base_trials", *(f"{method}_trials" for method in METHODS)]
    chain = pipeline(
        [
            set_up_bench(),
            node(
                nodes.try_base_model,
                ["bench", "store", "params:compare", "params:seed"],
                "base_trials",
                name="try_base",
            ),
            *(
                node(
                    nodes.try_each_seed(method),
                    [
                        "bench",
                        "store",
                        "params:compare",
                        f"params:{METHODS[method].parameters}",
                        "params:seed",
                        "workspace",
                    ],
                    f"{method}_trials",
                    name=f"try_{method}",
                )
                for method in METHODS
            ),
            node(
                nodes.tabulate,
                ["bench", "params:compare", *trials],
                ["trials", "summary", "comparison"],
                name="tabulate",
            ),
            node(
                nodes.report_comparison,
                [
                    "summary",
                    "bench",
                    "params:compare",
                    "params:report",
                    "parameters",
                    "manifest",
                    *trials,
                ],
                ["trade_off", "grids", "report"],
                name="report",
            ),
            node(nodes.track_methods, ["summary", "parameters", "outbox", *trials], None, name="track"),
        ]
    )
    parameters = {name for name in chain.inputs() if name.startswith("params:")}
    return pipeline(chain, namespace="compare", inputs=INPUTS, parameters=parameters)
